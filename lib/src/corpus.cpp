#include "unroll/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "unroll/error.h"

namespace unroll {
namespace {

// A tensor that owns the vector's memory.
template <typename T>
torch::Tensor to_tensor(std::vector<T> values, torch::Dtype dtype) {
  auto owner = std::make_shared<std::vector<T>>(std::move(values));
  auto* data = owner->data();
  const auto size = static_cast<int64_t>(owner->size());
  return torch::from_blob(
      data, {size}, [owner](void*) {}, torch::TensorOptions().dtype(dtype));
}

// Gives tokens provisional indices by order of first appearance and keeps those of the corpus, in
// one byte each while they fit. The vocabulary's order is known at the end; then one table turns
// provisional indices into final ones in place.
class Indexer {
 public:
  Indexer(const CorpusOptions& options, int64_t size_hint) : options_(options) {
    single_byte_.fill(kNone);
    narrow_.reserve(static_cast<std::size_t>(
        options.max_tokens > 0 ? std::min(options.max_tokens, size_hint) : size_hint));
  }

  void feed(std::string_view block) { tokenizer_.feed(block); }

  Corpus finish() {
    tokenizer_.finish();
    if (counts_.empty()) {
      throw Error(options_.text.normalize == Normalize::kLetters
                      ? "has no letter A-Z, expected a text (normalize none keeps all characters)"
                      : "has no token, expected a text");
    }
    Corpus corpus;
    corpus.text = options_.text;
    corpus.vocab = Vocab::from_counts(counts_, options_.min_freq, {}, options_.text.tokens);
    std::vector<int32_t> final_index;
    final_index.reserve(counts_.size());
    for (const auto& [token, count] : counts_) {
      final_index.push_back(static_cast<int32_t>(corpus.vocab[token]));
    }
    const auto remap = [&](auto& indices) {
      using Index = typename std::decay_t<decltype(indices)>::value_type;
      for (auto& index : indices) {
        index = static_cast<Index>(final_index[index]);
      }
    };
    if (corpus.vocab.size() > kNarrowSize) {
      widen();
      remap(wide_);
      corpus.indices = to_tensor(std::move(wide_), torch::kInt32);
    } else if (wide_.empty()) {
      remap(narrow_);
      corpus.indices = to_tensor(std::move(narrow_), torch::kUInt8);
    } else {
      remap(wide_);
      corpus.indices = to_tensor(std::move(wide_), torch::kInt32).to(torch::kUInt8);
    }
    return corpus;
  }

 private:
  static constexpr int32_t kNone = -1;
  static constexpr int64_t kNarrowSize = 256;

  void add(std::string_view token) {
    int32_t index = kNone;
    if (token.size() == 1) {
      auto& known = single_byte_[static_cast<unsigned char>(token[0])];
      if (known == kNone) {
        known = add_new(token);
      }
      index = known;
    } else {
      const auto found = longer_.find(token);
      index = found != longer_.end() ? found->second : add_longer(token);
    }
    ++counts_[static_cast<std::size_t>(index)].second;
    if (options_.max_tokens > 0 && size_ >= options_.max_tokens) {
      return;
    }
    ++size_;
    if (index >= kNarrowSize && wide_.empty()) {
      widen();
    }
    if (wide_.empty()) {
      narrow_.push_back(static_cast<uint8_t>(index));
    } else {
      wide_.push_back(index);
    }
  }

  int32_t add_new(std::string_view token) {
    if (counts_.size() > static_cast<std::size_t>(std::numeric_limits<int32_t>::max())) {
      throw Error(fmt::format("has more than {} different tokens", counts_.size() - 1));
    }
    counts_.emplace_back(std::string(token), 0);
    return static_cast<int32_t>(counts_.size() - 1);
  }

  int32_t add_longer(std::string_view token) {
    const int32_t index = add_new(token);
    longer_.emplace(std::string(token), index);
    return index;
  }

  void widen() {
    if (wide_.empty()) {
      wide_.reserve(narrow_.capacity());
      wide_.assign(narrow_.begin(), narrow_.end());
      narrow_ = {};
    }
  }

  CorpusOptions options_;
  Vocab::TokenCounts counts_;
  std::array<int32_t, 256> single_byte_{};
  std::unordered_map<std::string, int32_t, TokenHash, std::equal_to<>> longer_;
  std::vector<uint8_t> narrow_;
  std::vector<int32_t> wide_;
  int64_t size_ = 0;
  Tokenizer tokenizer_{options_.text, [this](std::string_view token) { add(token); }};
};

}  // namespace

Corpus read_corpus(const std::filesystem::path& path, const CorpusOptions& options) {
  std::error_code unknown_size;
  const auto bytes = std::filesystem::file_size(path, unknown_size);
  Indexer indexer(options, unknown_size ? 0 : static_cast<int64_t>(bytes));
  // Only bytes kept as they are can be those of a binary file.
  const bool bytes_as_they_are =
      options.text.tokens == TokenKind::kByte && options.text.normalize == Normalize::kNone;
  const auto naming_the_file = [&](const auto& work) {
    try {
      return work();
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", path.string(), error.what()));
    }
  };
  read_blocks(path, bytes_as_they_are ? NulBytes::kAllow : NulBytes::kRefuse,
              [&](std::string_view block) { naming_the_file([&] { indexer.feed(block); }); });
  return naming_the_file([&] { return indexer.finish(); });
}

Corpus make_corpus(std::string_view text, const CorpusOptions& options) {
  Indexer indexer(options, static_cast<int64_t>(text.size()));
  indexer.feed(text);
  return indexer.finish();
}

Corpus load_corpus_time_machine(const std::filesystem::path& path, int64_t max_tokens) {
  return read_corpus(path, {.text = {}, .max_tokens = max_tokens, .min_freq = 0});
}

}  // namespace unroll

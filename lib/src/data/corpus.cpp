#include "unroll/corpus.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/formatted.h"
#include "data/index_buffer.h"
#include "text/fingerprint.h"
#include "text/normalizer.h"
#include "text/token_cutter.h"
#include "text/utf8.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Gives tokens provisional indices by order of first appearance: by tables where they are
// characters or bytes, since a look-up by hash for each would be most of the time.
class TokenTable {
 public:
  static constexpr int32_t kNone = -1;

  TokenTable() { common_.fill(kNone); }

  // Of a token that is one character or byte of this value; kNone when it is new.
  int32_t find(int32_t value) const {
    if (value < kCommon) {
      return common_[value];
    }
    const auto& page = pages_[value / kPageSize];
    return page ? (*page)[value % kPageSize] : kNone;
  }

  int32_t index_of(std::string_view token) {
    const auto size = token.size() == 1 ? 1 : utf8_size(token[0]);
    if (token.size() == size) {
      auto& known = entry(code_point_at(token.data(), size));
      return known != kNone ? known : add(token, known);
    }
    const auto found = longer_.find(token);
    return found != longer_.end() ? found->second : add(token, longer_[std::string(token)]);
  }

  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  static constexpr int32_t kCommon = 0x800;  // what takes one or two bytes in UTF-8
  static constexpr int32_t kPageSize = 256;
  using Page = std::array<int32_t, kPageSize>;

  int32_t& entry(int32_t value) {
    if (value < kCommon) {
      return common_[value];
    }
    auto& page = pages_[value / kPageSize];
    if (!page) {
      page = std::make_unique<Page>();
      page->fill(kNone);
    }
    return (*page)[value % kPageSize];
  }

  int32_t add(std::string_view token, int32_t& index) {
    if (tokens_.size() > static_cast<std::size_t>(std::numeric_limits<int32_t>::max())) {
      throw Error(formatted("has more than {} different tokens", tokens_.size() - 1));
    }
    index = static_cast<int32_t>(tokens_.size());
    tokens_.emplace_back(token);
    return index;
  }

  std::vector<std::string> tokens_;
  std::array<int32_t, kCommon> common_{};
  std::array<std::unique_ptr<Page>, 0x110000 / kPageSize> pages_;
  std::unordered_map<std::string, int32_t, TokenHash, std::equal_to<>> longer_;
};

// Whether a text can be read again after its first pass, which only gave its vocabulary.
enum class Source { kOnce, kTwice };

// Turns a text into a corpus as it streams by. The vocabulary's order is known at the end; then one
// table turns provisional indices into final ones in place. Those of a given vocabulary are final.
class Indexer {
 public:
  Indexer(const CorpusOptions& options, Source source)
      : options_(options),
        most_tokens_(options.max_tokens.value_or(0) > 0 ? *options.max_tokens
                                                        : std::numeric_limits<int64_t>::max()),
        may_only_count_(source == Source::kTwice && options.vocab_size > 0 &&
                        options.vocab_size <= kNarrowSize && !options.vocab),
        normalizer_(options.text),
        cutter_(options.text.tokens) {
    check(options);
    if (options.vocab) {
      for (const auto& token : options.vocab->tokens()) {
        tokens_.index_of(token);
      }
      known_ = static_cast<int32_t>(options.vocab->size());
      counts_.resize(static_cast<std::size_t>(known_));
    }
  }

  void feed(std::string_view block) {
    fingerprinter_.feed(block);
    cut(normalizer_.feed(block));
  }

  void end_file() {
    fingerprinter_.end_file();
    cut(normalizer_.end_file());
  }

  // Without indices where one byte each was not enough to keep them until their vocabulary, small
  // enough for that, was known: the text is then to be read again with this vocabulary.
  Corpus finish() {
    cut(normalizer_.finish());
    cutter_.finish([this](std::string_view token) { add(token); });
    if (std::all_of(counts_.begin(), counts_.end(), [](int64_t count) { return count == 0; })) {
      throw Error(options_.text.normalize == Normalize::kLetters
                      ? "has no letter A-Z, expected a text (normalize none keeps all characters)"
                      : "has no token, expected a text");
    }
    Corpus corpus;
    corpus.text = options_.text;
    corpus.fingerprint = fingerprinter_.fingerprint();
    corpus.vocab = make_vocab();
    const auto& kept_counts = kept_counts_ ? *kept_counts_ : counts_;
    std::vector<int32_t> final_index(counts_.size());
    for (std::size_t i = 0; i < final_index.size(); ++i) {
      const auto& token = tokens_.tokens()[i];
      const int64_t kept = i < kept_counts.size() ? kept_counts[i] : 0;
      final_index[i] = static_cast<int32_t>(corpus.vocab[token]);
      corpus.unknown += final_index[i] == Vocab::unk() ? kept : 0;
      corpus.characters += kept * count_code_points(token);
    }
    corpus.characters += spaces_;
    corpus.text_tokens = std::accumulate(counts_.begin(), counts_.end(), int64_t{0});
    corpus.first_characters = count_code_points(tokens_.tokens()[static_cast<std::size_t>(first_)]);
    if (!only_counts_) {
      corpus.indices = indices_.release(final_index, index_dtype(corpus.vocab.size()));
    }
    return corpus;
  }

 private:
  void cut(std::string_view text) {
    if (options_.text.tokens == TokenKind::kWord) {
      cutter_.feed(text, [this](std::string_view token) { add(token); });
      return;
    }
    while (!text.empty()) {
      text.remove_prefix(options_.text.tokens == TokenKind::kByte ? add_known<1>(text)
                                                                  : add_known<0>(text));
      if (!text.empty()) {
        const auto size = size_of_token(text);
        add(text.substr(0, size));
        text.remove_prefix(size);
      }
    }
  }

  std::size_t size_of_token(std::string_view text) const {
    return options_.text.tokens == TokenKind::kByte ? 1 : utf8_size(text[0]);
  }

  // Adds the tokens at the text's front that are known and take one byte each, as nearly all do;
  // returns how many bytes of text they are. The loop holds all it needs in registers: through
  // `add` alone a text of letters takes 1.5 times as long (scripts/bench_corpus).
  template <std::size_t kTokenSize>  // 0: that of the code point
  std::size_t add_known(std::string_view text) {
    const auto left = most_tokens_ - indices_.size();
    const bool kept = left > 0 && !only_counts_;
    const auto most = kept ? std::min(text.size(), static_cast<std::size_t>(left)) : text.size();
    if (!kept) {
      cut_off_.resize(std::max(cut_off_.size(), most));
    }
    const auto room = kept ? indices_.room(most) : std::span(cut_off_).first(most);
    auto* const counts = counts_.data();
    const auto limit = std::min(known_, IndexBuffer::kOneByte);
    std::size_t at = 0;
    std::size_t added = 0;
    while (added < room.size() && at < text.size()) {
      const auto size = kTokenSize != 0 ? kTokenSize : utf8_size(text[at]);
      const auto index = tokens_.find(code_point_at(text.data() + at, size));
      if (index == TokenTable::kNone || index >= limit) {
        break;
      }
      ++counts[index];
      room[added++] = static_cast<uint8_t>(index);
      at += size;
    }
    if (kept) {
      if (indices_.size() == 0 && added > 0) {
        first_ = room.front();
      }
      indices_.take(added);
      if (indices_.size() == most_tokens_) {
        kept_counts_ = counts_;
      }
    }
    return at;
  }

  void add(std::string_view token) {
    const auto index = tokens_.index_of(token);
    if (static_cast<std::size_t>(index) == counts_.size()) {
      counts_.push_back(0);
    }
    ++counts_[static_cast<std::size_t>(index)];
    if (indices_.size() < most_tokens_ && !only_counts_) {
      count_space(token);
      if (indices_.size() == 0) {
        first_ = index;
      }
      indices_.push_back(index < known_ ? index : static_cast<int32_t>(Vocab::unk()));
      if (indices_.size() == most_tokens_) {
        kept_counts_ = counts_;
      }
      if (may_only_count_ && indices_.bytes() > indices_.size() + indices_.size() / 5) {
        only_counts_ = true;
        indices_ = IndexBuffer();
      }
    }
  }

  // Between two words of a line stands one.
  void count_space(std::string_view token) {
    const bool is_word = options_.text.tokens == TokenKind::kWord && token != "\n";
    spaces_ += is_word && after_word_ ? 1 : 0;
    after_word_ = is_word;
  }

  Vocab make_vocab() const {
    if (options_.vocab) {
      return *options_.vocab;
    }
    Vocab::TokenCounts counts;
    counts.reserve(counts_.size());
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      counts.emplace_back(tokens_.tokens()[i], counts_[i]);
    }
    return Vocab::from_counts(std::move(counts), options_.min_freq, {}, options_.text.tokens,
                              options_.vocab_size);
  }

  CorpusOptions options_;
  int64_t most_tokens_;
  bool may_only_count_;
  bool only_counts_ = false;
  int32_t known_ = std::numeric_limits<int32_t>::max();  // indices from here on become `<unk>`
  Fingerprinter fingerprinter_;
  Normalizer normalizer_;
  TokenCutter cutter_;
  TokenTable tokens_;
  std::vector<int64_t> counts_;                      // of each provisional index
  std::optional<std::vector<int64_t>> kept_counts_;  // where the corpus is cut
  std::vector<uint8_t> cut_off_;                     // where what is counted alone is put
  IndexBuffer indices_;
  int32_t first_ = 0;  // the provisional index of the first token
  bool after_word_ = false;
  int64_t spaces_ = 0;
};

template <typename Work>
auto naming(const std::string& name, const Work& work) {
  try {
    return work();
  } catch (const InvalidUtf8Error& error) {
    throw InvalidUtf8Error(formatted("{}: {}", name, error.what()));
  } catch (const Error& error) {
    throw Error(formatted("{}: {}", name, error.what()));
  }
}

Corpus read_once(const std::vector<std::filesystem::path>& paths, const CorpusOptions& options,
                 Source source, const ReadCallback& on_read) {
  Indexer indexer(options, source);
  read_blocks(
      paths, nul_bytes_of(options.text),
      [&](std::size_t file, std::string_view block) {
        naming(text_name(paths[file]), [&] { indexer.feed(block); });
      },
      on_read,
      [&](std::size_t file) { naming(text_name(paths[file]), [&] { indexer.end_file(); }); });
  return naming(text_name(paths), [&] { return indexer.finish(); });
}

void check_kind(const Vocab& vocab, const TextOptions& text) {
  if (vocab.kind() != text.tokens) {
    throw UsageError(formatted("the vocabulary is of tokens by {}, but the text is cut by {}",
                               to_string(vocab.kind()), to_string(text.tokens)));
  }
}

}  // namespace

void check(const CorpusOptions& options) {
  check_ranges(options);
  if (options.vocab_size == 1) {
    throw UsageError("vocab-size must be >= 2 (<unk> is one entry), or 0 for all, got 1");
  }
  if (options.vocab) {
    check_kind(*options.vocab, options.text);
  }
}

Corpus read_corpus(const std::vector<std::filesystem::path>& paths, const CorpusOptions& options,
                   const ReadCallback& on_read) {
  const bool twice = std::all_of(paths.begin(), paths.end(), can_be_read_again);
  auto corpus = read_once(paths, options, twice ? Source::kTwice : Source::kOnce, on_read);
  if (corpus.indices.defined()) {
    return corpus;
  }
  auto again = options;
  again.vocab = std::make_shared<const Vocab>(std::move(corpus.vocab));
  auto indexed = read_once(paths, again, Source::kOnce, on_read);
  if (indexed.fingerprint != corpus.fingerprint) {
    throw Error(formatted("{}: changed while it was read", text_name(paths)));
  }
  return indexed;
}

Corpus read_corpus(const std::filesystem::path& path, const CorpusOptions& options,
                   const ReadCallback& on_read) {
  return read_corpus(std::vector{path}, options, on_read);
}

Corpus make_corpus(std::string_view text, const CorpusOptions& options) {
  Indexer indexer(options, Source::kOnce);
  indexer.feed(text);
  indexer.end_file();
  return indexer.finish();
}

Corpus with_vocab(const Corpus& corpus, const Vocab& vocab) {
  check_kind(vocab, corpus.text);
  std::vector<int32_t> other(static_cast<std::size_t>(corpus.vocab.size()));
  std::transform(corpus.vocab.tokens().begin(), corpus.vocab.tokens().end(), other.begin(),
                 [&](const std::string& token) { return static_cast<int32_t>(vocab[token]); });
  other[static_cast<std::size_t>(Vocab::unk())] = static_cast<int32_t>(Vocab::unk());
  const auto dtype = index_dtype(vocab.size());
  const auto table = torch::tensor(other, torch::kInt32).to(dtype);
  Corpus result = corpus;
  result.vocab = vocab;
  result.indices = torch::empty({corpus.size()}, dtype);
  constexpr int64_t kBlock = 1 << 20;  // an index for look-up takes four bytes
  for (int64_t first = 0; first < corpus.size(); first += kBlock) {
    const int64_t size = std::min(kBlock, corpus.size() - first);
    result.indices.narrow(0, first, size)
        .copy_(table.index_select(0, corpus.indices.narrow(0, first, size).to(torch::kInt32)));
  }
  result.unknown = count_unknown(result.indices);
  return result;
}

std::vector<int64_t> token_indices(std::string_view text, const TextOptions& options,
                                   const Vocab& vocab) {
  check_kind(vocab, options);
  std::vector<int64_t> indices;
  Tokenizer tokenizer(options, [&](std::string_view token) { indices.push_back(vocab[token]); });
  tokenizer.feed(text);
  tokenizer.finish();
  return indices;
}

int64_t count_unknown(const torch::Tensor& tokens) {
  return tokens.numel() - torch::count_nonzero(tokens).item<int64_t>();
}

}  // namespace unroll

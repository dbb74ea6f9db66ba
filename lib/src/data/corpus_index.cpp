#include <torch/types.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "data/index_buffer.h"
#include "ranks/or_alone.h"
#include "text/fingerprint.h"
#include "text/token_cutter.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using Metadata = std::map<std::string, std::string>;

constexpr std::string_view kIndexFormat = "unroll-index";
constexpr const char* kIndices = "indices";
constexpr const char* kContentHash = "content_hash";
// Of each part of the indices, so that each can be checked by itself.
constexpr const char* kPartHashes = "part_hashes";
constexpr int64_t kPartBytes = 1 << 20;

std::string_view bytes_of(const torch::Tensor& tensor) {
  return {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()};
}

std::string hash_of(const Vocab& vocab) {
  Fingerprinter fingerprinter;
  for (const auto& token : vocab.tokens()) {
    fingerprinter.feed(token);
    fingerprinter.feed(std::string_view("\xFF", 1));  // so that where tokens end counts, too
  }
  return fingerprinter.fingerprint().hash;
}

// All that decides how a text is indexed, beside the text itself.
Metadata describe(const CorpusOptions& options) {
  return {{"format", std::string(kIndexFormat)},
          {"version", "4"},
          {"unicode", utf8proc_unicode_version()},
          {"normalize", std::string(to_string(options.text.normalize))},
          {"tokens", std::string(to_string(options.text.tokens))},
          {"invalid_utf8", std::string(to_string(options.text.invalid_utf8))},
          {"max_tokens", formatted("{}", std::max<int64_t>(options.max_tokens.value_or(0), 0))},
          {"min_freq", formatted("{}", options.min_freq)},
          {"vocab_size", formatted("{}", options.vocab_size)},
          {"vocab", options.vocab ? hash_of(*options.vocab) : "own"}};
}

// Tokens one behind the other, where each ends, and its count.
NamedTensors to_tensors(const Vocab::TokenCounts& counts) {
  std::string text;
  const auto size = static_cast<int64_t>(counts.size());
  auto ends = torch::empty({size}, torch::kInt64);
  auto numbers = torch::empty({size}, torch::kInt64);
  for (int64_t i = 0; i < size; ++i) {
    const auto& [token, count] = counts[static_cast<std::size_t>(i)];
    text += token;
    ends.data_ptr<int64_t>()[i] = static_cast<int64_t>(text.size());
    numbers.data_ptr<int64_t>()[i] = count;
  }
  auto bytes = torch::empty({static_cast<int64_t>(text.size())}, torch::kUInt8);
  std::copy(text.begin(), text.end(), static_cast<char*>(bytes.data_ptr()));
  return {{"token_ends", ends}, {"token_counts", numbers}, {"tokens", bytes}};
}

// Of one part of the indices after the other, the last of which is shorter.
std::string part_hashes_of(const torch::Tensor& indices) {
  std::string hashes;
  const auto bytes = bytes_of(indices);
  for (std::size_t begin = 0; begin < bytes.size(); begin += kPartBytes) {
    hashes += fingerprint_of(bytes.substr(begin, kPartBytes)).hash;
  }
  return hashes;
}

// Of all that a file holds but this hash itself and the indices, for which their parts' stand.
std::string hash_of(const SafeTensors& content) {
  Fingerprinter fingerprinter;
  for (const auto& [key, value] : content.metadata) {
    if (key != kContentHash) {
      fingerprinter.feed(value);
      fingerprinter.feed("\n");
    }
  }
  for (const auto& [name, tensor] : content.tensors) {
    if (name != kIndices) {
      fingerprinter.feed(bytes_of(tensor));
    }
  }
  return fingerprinter.fingerprint().hash;
}

// A file's content, taken apart with a look at each part.
class IndexFile {
 public:
  explicit IndexFile(const std::filesystem::path& path)
      : name_(path.string()), content_(map_safetensors(path)) {
    if (text("format") != kIndexFormat) {
      throw Error(formatted("{}: is not the index of a text: its format is '{}', expected '{}'",
                            name_, text("format"), kIndexFormat));
    }
  }

  bool is_of(const Metadata& options) const {
    return std::all_of(options.begin(), options.end(),
                       [&](const auto& option) { return text(option.first) == option.second; });
  }

  std::string content_hash() const { return text(kContentHash); }

  // With a look at a rank's part of the indices.
  Corpus corpus(const CorpusOptions& options, const Ranks& ranks) {
    Corpus corpus;
    corpus.text = options.text;
    corpus.fingerprint = {.bytes = number("bytes"), .hash = text("hash")};
    corpus.text_tokens = number("text_tokens");
    corpus.unknown = number("unknown");
    corpus.characters = number("characters");
    corpus.first_characters = number("first_characters");
    corpus.vocab = options.vocab ? *options.vocab
                                 : Vocab::from_counts(token_counts(), options.min_freq, {},
                                                      options.text.tokens, options.vocab_size);
    corpus.indices = tensor(kIndices, index_dtype(corpus.vocab.size()));
    if (hash_of(content_) != text(kContentHash)) {
      fail("its content is not what was written");
    }
    check_tokens(corpus);
    check_indices(corpus, ranks);
    return corpus;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw Error(formatted("{}: is a damaged index: {}", name_, what));
  }

  std::string text(const std::string& key) const {
    const auto found = content_.metadata.find(key);
    return found == content_.metadata.end() ? std::string() : found->second;
  }

  int64_t number(const std::string& key) const {
    const auto digits = text(key);
    int64_t value = 0;
    const auto* end = digits.data() + digits.size();
    const auto [at, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc{} || at != end || value < 0) {
      fail(formatted("its {} is '{}', expected a number", key, digits));
    }
    return value;
  }

  torch::Tensor tensor(const std::string& name, torch::Dtype dtype) const {
    for (const auto& [key, value] : content_.tensors) {
      if (key == name && value.scalar_type() == dtype && value.dim() == 1) {
        return value;
      }
    }
    fail(formatted("it has no row '{}' of {}", name, torch::toString(dtype)));
  }

  // The hash keeps out accidents, but whoever wrote the file could take it, too.
  void check_tokens(const Corpus& corpus) const {
    for (const auto& [token, count] : corpus.vocab.token_freqs()) {
      if (!is_token(token, corpus.text.tokens)) {
        fail(formatted("one of its tokens is none by {}", to_string(corpus.text.tokens)));
      }
    }
  }

  void check_indices(const Corpus& corpus, const Ranks& ranks) const {
    if (corpus.size() == 0) {
      fail("it has no indices");
    }
    const auto size = corpus.indices.element_size();
    const int64_t parts = (corpus.size() * size + kPartBytes - 1) / kPartBytes;
    const auto at = [&](int64_t part) { return std::min(part * kPartBytes / size, corpus.size()); };
    const int64_t first = parts * ranks.rank() / ranks.world();
    const int64_t last = parts * (ranks.rank() + 1) / ranks.world();
    if (first == last) {
      return;
    }
    const auto own = corpus.indices.narrow(0, at(first), at(last) - at(first));
    const auto hashes = part_hashes_of(own);
    const auto digits = hashes.size() / (last - first);
    const auto written = text(kPartHashes);
    if (written.size() != parts * digits ||
        written.substr(first * digits, hashes.size()) != hashes) {
      fail("its content is not what was written");
    }
    const auto [least, most] = torch::aminmax(own);
    if (least.item<int64_t>() < 0 || most.item<int64_t>() >= corpus.vocab.size()) {
      fail(formatted("its indices are from {} to {}, but there are {} tokens",
                     least.item<int64_t>(), most.item<int64_t>(), corpus.vocab.size()));
    }
  }

  Vocab::TokenCounts token_counts() const {
    const auto ends = tensor("token_ends", torch::kInt64);
    const auto numbers = tensor("token_counts", torch::kInt64);
    const auto bytes = tensor("tokens", torch::kUInt8);
    if (ends.size(0) != numbers.size(0)) {
      fail("its tokens and their counts differ in number");
    }
    Vocab::TokenCounts counts;
    int64_t begin = 0;
    for (int64_t i = 0; i < ends.size(0); ++i) {
      const auto end = ends.data_ptr<int64_t>()[i];
      if (end < begin || end > bytes.size(0)) {
        fail("its tokens end outside");
      }
      counts.emplace_back(bytes_of(bytes).substr(begin, end - begin),
                          numbers.data_ptr<int64_t>()[i]);
      begin = end;
    }
    return counts;
  }

  std::string name_;
  SafeTensors content_;
};

}  // namespace

std::filesystem::path index_beside(const std::filesystem::path& text) {
  auto path = text;
  path += ".unroll-index";
  return path;
}

void save_corpus_index(const std::filesystem::path& path, const Corpus& corpus,
                       const CorpusOptions& options) {
  const auto indices = corpus.indices.contiguous();
  SafeTensors content{.tensors = {{kIndices, indices}}, .metadata = describe(options)};
  auto& metadata = content.metadata;
  metadata["bytes"] = formatted("{}", corpus.fingerprint.bytes);
  metadata["hash"] = corpus.fingerprint.hash;
  metadata["text_tokens"] = formatted("{}", corpus.text_tokens);
  metadata["unknown"] = formatted("{}", corpus.unknown);
  metadata["characters"] = formatted("{}", corpus.characters);
  metadata["first_characters"] = formatted("{}", corpus.first_characters);
  if (!options.vocab) {
    for (auto& tensor : to_tensors(corpus.vocab.token_freqs())) {
      content.tensors.push_back(std::move(tensor));
    }
  }
  metadata[kPartHashes] = part_hashes_of(indices);
  metadata[kContentHash] = hash_of(content);
  save_safetensors(path, content);
}

std::optional<Corpus> load_corpus_index(const std::filesystem::path& path,
                                        const CorpusOptions& options) {
  check(options);
  IndexFile file(path);
  return file.is_of(describe(options)) ? std::optional(file.corpus(options, Ranks()))
                                       : std::nullopt;
}

namespace {

// The corpus in the index, if it is that of the texts.
std::optional<Corpus> kept_corpus(const std::vector<std::filesystem::path>& paths,
                                  const std::filesystem::path& index, const CorpusOptions& options,
                                  const ReadCallback& on_read, const Ranks& ranks) {
  if (!std::filesystem::exists(index)) {
    return std::nullopt;
  }
  check(options);
  IndexFile file(index);
  if (!file.is_of(describe(options)) ||
      !std::all_of(paths.begin(), paths.end(), can_be_read_again)) {
    return std::nullopt;
  }
  auto corpus = file.corpus(options, ranks);
  return fingerprint_of_files(paths, on_read) == corpus.fingerprint ? std::optional(corpus)
                                                                    : std::nullopt;
}

}  // namespace

Corpus read_kept_corpus(const std::vector<std::filesystem::path>& paths,
                        const std::filesystem::path& index, const CorpusOptions& options,
                        const ReadCallback& on_read, const std::shared_ptr<Ranks>& ranks) {
  const auto all = or_alone(ranks);
  if (all->rank() > 0) {
    const auto hash = all->broadcast(std::string());
    IndexFile file(index);
    if (file.content_hash() != hash) {
      throw Error(formatted("{}: is another index than rank 0 has", index.string()));
    }
    return file.corpus(options, *all);
  }
  auto corpus = kept_corpus(paths, index, options, on_read, *all);
  if (!corpus) {
    check_writable(index);
    corpus = read_corpus(paths, options, on_read);
    save_corpus_index(index, *corpus, options);
  }
  if (all->world() > 1) {
    all->broadcast(IndexFile(index).content_hash());
  }
  return *std::move(corpus);
}

}  // namespace unroll

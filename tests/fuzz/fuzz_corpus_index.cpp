// Whatever a file holds, load_corpus_index gives a corpus, gives none, or throws Error, in memory
// that is worth the file; the corpus that it gives can be used and survives being saved.

#include <torch/types.h>
#include <torch/utils.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "allocation_limit.h"
#include "folder.h"
#include "require.h"
#include "safetensors_mutator.h"
#include "text/fingerprint.h"
#include "unroll/corpus.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// A token of one byte, with 16 for its end and its count, is kept three times: with its count, in
// the vocabulary's list and in its hash table.
constexpr AllocationLimit::Multiples kLimit{.largest = 8, .live = 24};

void check(const Corpus& corpus, CorpusOptions options) {
  save_corpus_index(folder() / "once", corpus, options);
  const auto again = load_corpus_index(folder() / "once", options);
  require(again.has_value(), "an index that was just saved is another text's");
  require(torch::equal(again->indices, corpus.indices) &&
              again->vocab.tokens() == corpus.vocab.tokens(),
          "saving changed the corpus");
  for (int64_t i = 0; i < corpus.size(); ++i) {
    corpus.vocab.to_token(corpus.indices[i].item<int64_t>());  // throws outside the vocabulary
  }
  options.vocab = std::make_shared<const Vocab>(corpus.vocab);
  make_corpus("one, two\nthr\xC3\xA9\xC3\xA9 \xF0\x9F\x98\x80", options);
}

// The hashes in the metadata, of all the rest, as they would have to be. No input is larger than a
// part of the indices.
void fit_hash(SafeTensorsParts& parts) {
  auto json = parts.json();
  if (!json.is_object() || !json.contains("__metadata__") || !json["__metadata__"].is_object()) {
    return;
  }
  auto& metadata = json["__metadata__"];
  const auto offset = [&](std::size_t i) {
    const auto& number = json.at("indices").at("data_offsets").at(i);
    return number.is_number_unsigned() ? number.get<std::size_t>() : parts.data.size() + 1;
  };
  std::size_t begin = 0;
  std::size_t end = 0;
  try {
    begin = offset(0);
    end = offset(1);
  } catch (const nlohmann::ordered_json::exception&) {
    return;
  }
  if (begin > end || end > parts.data.size()) {
    return;
  }
  metadata["part_hashes"] =
      begin == end ? "" : fingerprint_of(parts.data.substr(begin, end - begin)).hash;
  std::map<std::string, std::string> texts;
  for (const auto& [key, value] : metadata.items()) {
    if (key != "content_hash" && value.is_string()) {
      texts[key] = value.get<std::string>();
    }
  }
  std::string content;
  for (const auto& [key, text] : texts) {
    content += text + "\n";
  }
  metadata["content_hash"] =
      fingerprint_of(content + parts.data.substr(0, begin) + parts.data.substr(end)).hash;
  parts.header = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace
}  // namespace unroll

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  torch::set_num_threads(1);
  torch::aminmax(torch::zeros({1}, torch::kUInt8));  // LibTorch allocates much for its first call
  torch::aminmax(torch::zeros({1}, torch::kInt32));
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace unroll;
  const auto path = folder().write("input", {reinterpret_cast<const char*>(data), size});
  for (const auto kind : {TokenKind::kChar, TokenKind::kWord, TokenKind::kByte}) {
    const CorpusOptions options{.text = {.normalize = Normalize::kNone, .tokens = kind},
                                .max_tokens = 0};
    std::optional<Corpus> corpus;
    try {
      const AllocationLimit limit(size, kLimit);
      corpus = load_corpus_index(path, options);
    } catch (const Error&) {
      continue;
    }
    if (corpus) {
      ++taken;
      keep_readable({reinterpret_cast<const char*>(data), size});
      check(*corpus, options);
    }
  }
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
  return unroll::mutate_safetensors(data, size, most, seed,
                                    [seed](unroll::SafeTensorsParts& parts) {
                                      if (seed % 4 != 0) {
                                        unroll::fit_hash(parts);
                                      }
                                    });
}

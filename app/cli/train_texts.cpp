#include "cli/train_texts.h"

#include <memory>
#include <string>
#include <tuple>

#include "base/formatted.h"
#include "cli/texts.h"
#include "cli/train_request.h"
#include "unroll/error.h"
#include "unroll/seq_data.h"

namespace unroll::app {
namespace {

void require_same(const TextFingerprint& found, const TextFingerprint& expected,
                  const std::string& name) {
  if (found != expected) {
    throw Error(
        formatted("{}: is not the text of the checkpoint: {} bytes with hash {}, "
                  "expected {} with {}",
                  name, found.bytes, found.hash, expected.bytes, expected.hash));
  }
}

}  // namespace

TrainTexts load_texts(const Options& options, const CorpusOptions& request) {
  TrainTexts texts;
  texts.corpus = load_corpus(options, request);
  texts.train = texts.corpus.indices;
  if (!options.has("valid")) {
    return texts;
  }
  if (const auto share = valid_share(options)) {
    std::tie(texts.train, texts.valid) = hold_out(texts.corpus.indices, *share);
  } else {
    CorpusOptions as_trained = request;
    as_trained.max_tokens = 0;
    as_trained.vocab = std::make_shared<Vocab>(texts.corpus.vocab);
    const auto corpus =
        read_with_hint([&] { return read_corpus(options.path("valid"), as_trained); });
    if (corpus.size() < 2) {
      throw Error(formatted("{}: has {} token, need at least 2 to validate on",
                            options.path("valid"), corpus.size()));
    }
    texts.valid = corpus.indices;
    texts.valid_fingerprint = corpus.fingerprint;
  }
  return texts;
}

void require_same_texts(const TrainTexts& texts, const Checkpoint& resumed,
                        const Options& options) {
  const auto& record = *resumed.training;
  require_same(texts.corpus.fingerprint, record.fingerprint, name_of_text(options));
  if (!record.valid_text.empty()) {
    require_same(texts.valid_fingerprint, record.valid_fingerprint, options.path("valid"));
  }
  if (texts.corpus.vocab.tokens() != resumed.vocab.tokens()) {
    throw Error(
        formatted("{}: has other tokens than the checkpoint, which was saved by another "
                  "version",
                  name_of_text(options)));
  }
}

}  // namespace unroll::app

#include "cli/train_texts.h"

#include <algorithm>
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

// What the vocabulary of the first checkpoint has to do with the text's.
std::string describe_vocabulary(const TrainTexts& texts, const Options& options,
                                const Checkpoint& first) {
  const auto& vocab = texts.corpus.vocab;
  const auto fresh = vocab.size() - first.vocab.size();
  auto line = formatted("{}: its {} goes on from {} epochs; {} of its {} tokens occur here",
                        options.path("init-from"), to_string(first.config.cell), first.epochs,
                        texts.known, first.vocab.size() - 1);
  if (fresh > 0) {
    line += fresh == 1 ? std::string("; 1 new token begins untrained")
                       : formatted("; {} new tokens begin untrained", fresh);
  } else if (texts.corpus.unknown > 0) {
    line += formatted(
        "; what it lacks, {:.2g}% of the text, is read as <unk> (--add-tokens gives it rows)",
        100.0 * static_cast<double>(texts.corpus.unknown) /
            static_cast<double>(texts.corpus.size()));
  }
  return line;
}

}  // namespace

std::vector<std::string> describe_texts(const TrainTexts& texts, const Options& options,
                                        const TrainCheckpoints& checkpoints) {
  std::vector<std::string> lines{describe_corpus(options, texts.corpus)};
  if (checkpoints.initial) {
    lines.push_back(describe_vocabulary(texts, options, *checkpoints.initial));
  }
  if (texts.valid.defined()) {
    const auto unknown = count_unknown(texts.valid);
    lines.push_back(formatted("{}: {} tokens{} to validate on",
                              valid_share(options) ? formatted("the last {}", options.text("valid"))
                                                   : options.path("valid"),
                              texts.valid.size(0),
                              unknown > 0 ? formatted(", {} of them <unk>,", unknown) : ""));
  }
  return lines;
}

TrainTexts load_texts(const Options& options, CorpusOptions& request,
                      const TrainCheckpoints& checkpoints) {
  TrainTexts texts;
  texts.corpus = load_corpus(options, request);
  if (const auto& first = checkpoints.initial) {
    const auto& vocab = first->vocab;
    const auto& own = texts.corpus.vocab;
    texts.known = std::count_if(vocab.tokens().begin() + 1, vocab.tokens().end(),
                                [&](const std::string& token) { return own.contains(token); });
    texts.corpus = with_vocab(texts.corpus, options.is_set("add-tokens")
                                                ? vocab.extended(texts.corpus.vocab.tokens())
                                                : vocab);
  } else if (checkpoints.resumed && options.has("init-from")) {
    texts.corpus = with_vocab(texts.corpus, checkpoints.resumed->vocab);
  }
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

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

// How many of the first `entries` of a vocabulary, but `<unk>`, occur in a corpus.
int64_t count_occurring(const Corpus& corpus, int64_t entries) {
  auto occurs = torch::zeros({corpus.vocab.size()}, torch::kBool);
  constexpr int64_t kBlock = 1 << 20;  // an index takes eight bytes here
  for (int64_t first = 0; first < corpus.size(); first += kBlock) {
    const int64_t size = std::min(kBlock, corpus.size() - first);
    occurs.index_fill_(0, corpus.indices.narrow(0, first, size).to(torch::kInt64), true);
  }
  return occurs.slice(0, 1, entries).count_nonzero().item<int64_t>();
}

// What the initial checkpoint's vocabulary has to do with the text's.
std::string describe_vocabulary(const TrainTexts& texts, const Options& options,
                                const Checkpoint& initial) {
  const auto fresh = texts.corpus.vocab.size() - initial.vocab.size();
  auto line = formatted(
      "{}: its {} goes on from {}; {} of its {} tokens occur here", options.path("init-from"),
      to_string(initial.config.cell), counted(initial.epochs, "epoch"),
      count_occurring(texts.corpus, initial.vocab.size()), initial.vocab.size() - 1);
  if (fresh > 0) {
    line += formatted("; {}, not trained yet", counted(fresh, "new token"));
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
    const auto unknown = texts.valid_unknown;
    lines.push_back(formatted("{}: {}{} to validate on",
                              valid_share(options) ? formatted("the last {}", options.text("valid"))
                                                   : options.path("valid"),
                              counted(texts.valid.size(0), "token"),
                              unknown > 0 ? formatted(", {} of them <unk>,", unknown) : ""));
  }
  return lines;
}

TrainTexts load_texts(const Options& options, CorpusOptions& request,
                      const TrainCheckpoints& checkpoints, const std::shared_ptr<Ranks>& ranks) {
  TrainTexts texts;
  const auto& [resumed, initial] = checkpoints;
  const bool adds_tokens = initial && options.is_set("add-tokens");
  CorpusOptions by_vocab = request;
  if ((initial && !adds_tokens) || (resumed && options.has("init-from"))) {
    by_vocab.vocab = std::make_shared<const Vocab>(initial ? initial->vocab : resumed->vocab);
  }
  texts.corpus = load_corpus(options, by_vocab, ranks);
  request.max_tokens = by_vocab.max_tokens;
  if (adds_tokens) {
    texts.corpus = with_vocab(texts.corpus, initial->vocab.extended(texts.corpus.vocab.tokens()));
  }
  texts.train = texts.corpus.indices;
  texts.unknown = texts.corpus.unknown;
  if (!options.has("valid")) {
    return texts;
  }
  if (const auto share = valid_share(options)) {
    try {
      std::tie(texts.train, texts.valid) = hold_out(texts.corpus.indices, *share);
      texts.valid_unknown = count_unknown(texts.valid);
      texts.unknown -= texts.valid_unknown;
    } catch (const Error& error) {
      throw Error(formatted("{}: --valid: {}", name_of_text(options), error.what()));
    }
  } else {
    CorpusOptions as_trained = request;
    as_trained.max_tokens = 0;
    as_trained.vocab = std::make_shared<Vocab>(texts.corpus.vocab);
    const auto corpus =
        read_with_hint([&] { return read_corpus(options.path("valid"), as_trained); });
    if (corpus.size() < 2) {
      throw Error(formatted("{}: has {}, need at least 2 to validate on", options.path("valid"),
                            counted(corpus.size(), "token")));
    }
    texts.valid = corpus.indices;
    texts.valid_unknown = corpus.unknown;
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

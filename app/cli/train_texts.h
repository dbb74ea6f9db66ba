#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/train_request.h"
#include "unroll/checkpoint.h"
#include "unroll/corpus.h"

namespace unroll::app {

/// What is learned from, and what is looked at beside.
struct TrainTexts {
  Corpus corpus;
  torch::Tensor train;                // (N) what of the corpus is not held out
  int64_t unknown = 0;                // of these, how many are `<unk>`
  torch::Tensor valid;                // (N) undefined without --valid
  int64_t valid_unknown = 0;          // of these
  TextFingerprint valid_fingerprint;  // of a text of its own
};

/// Reads what the options name, by the vocabulary of the checkpoint that the training begins with
/// or was begun with, if there is one. Puts into `request` how much of the text is read. Throws
/// Error, naming the file.
TrainTexts load_texts(const Options& options, CorpusOptions& request,
                      const TrainCheckpoints& checkpoints,
                      const std::shared_ptr<Ranks>& ranks = {});

/// Lines to print before the training: on the text, on the checkpoint that the training begins
/// with, and on a text to validate on.
std::vector<std::string> describe_texts(const TrainTexts& texts, const Options& options,
                                        const TrainCheckpoints& checkpoints);

/// Throws Error, naming the file, unless the texts are those that the checkpoint's training had.
void require_same_texts(const TrainTexts& texts, const Checkpoint& resumed, const Options& options);

}  // namespace unroll::app

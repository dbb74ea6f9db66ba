#pragma once

#include <torch/types.h>

#include "cli/options.h"
#include "unroll/checkpoint.h"
#include "unroll/corpus.h"

namespace unroll::app {

/// What is learned from, and what is looked at beside.
struct TrainTexts {
  Corpus corpus;
  torch::Tensor train;                // (N) what of the corpus is not held out
  torch::Tensor valid;                // (N) undefined without --valid
  TextFingerprint valid_fingerprint;  // of a text of its own
};

/// Reads what the options name. Throws Error, naming the file.
TrainTexts load_texts(const Options& options, const CorpusOptions& request);

/// Throws Error, naming the file, unless the texts are those that the checkpoint's training had.
void require_same_texts(const TrainTexts& texts, const Checkpoint& resumed, const Options& options);

}  // namespace unroll::app

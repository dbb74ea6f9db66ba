#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

#include "unroll/model_config.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

namespace unroll {

/// What is compared: the scratch and the concise model of one cell.
struct CompareOptions {
  Cell cell = Cell::kRnn;  ///< rnn, gru (reset after the product, as torch::nn has it) or lstm
  int64_t hidden = 512;    ///< H
  TrainOptions train = {.epochs = 20};  ///< the training, the same for both
};

/// Throws UsageError unless the cell exists in both models and every value is in range.
void check(const CompareOptions& options);

/// Largest absolute differences between the two models from the same weights on the first batch.
struct Differences {
  double logits = 0;     ///< of the first batch
  double states = 0;     ///< after the first batch
  double gradients = 0;  ///< over all weights, in the scratch model's layout
};

/// One of the models and what its training came to.
struct ComparedModel {
  ModelConfig config;    ///< which model
  TrainResult training;  ///< its epochs and predictions
};

/// What a comparison came to.
struct Comparison {
  Differences differences;
  std::vector<ComparedModel> models;  ///< scratch, concise
};

/// Draws a scratch model, copies its weights into a concise one, measures how far apart they
/// compute, then trains both on the same batches, on the batches' device.
///
/// The perplexities of the two drift apart with the epochs: where the notebook has one bias a gate,
/// torch::nn adds two, each with the whole gradient, so that their sum moves twice as far.
///
/// `callbacks` is asked, before each model's training, what to call during it. Throws UsageError
/// for the mlp cell and for options out of range, Error when training diverges.
Comparison compare(const SeqDataLoader& train_iter, const Vocab& vocab,
                   const CompareOptions& options,
                   const std::function<TrainCallbacks(const ModelConfig&)>& callbacks = {});

}  // namespace unroll

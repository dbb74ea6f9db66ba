#pragma once

#include <torch/types.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "unroll/model_config.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

namespace unroll {

/// The models that are compared, in this order.
inline constexpr std::array kComparedModels{ModelKind::kScratch, ModelKind::kConcise,
                                            ModelKind::kFused};

/// What is compared: the scratch, the concise and the fused model of one cell.
struct CompareOptions {
  Cell cell = Cell::kRnn;  ///< rnn, gru (reset after the product, as torch::nn has it) or lstm
  int64_t hidden = 512;    ///< H
  TrainOptions train = {.epochs = 20};  ///< the training, the same for all
};

/// Throws UsageError unless the cell exists in all models and every value is in range.
void check(const CompareOptions& options);

/// Largest absolute differences of a model from the scratch model, from the same weights on the
/// first batch.
struct Differences {
  double logits = 0;     ///< of the first batch
  double states = 0;     ///< after the first batch
  double gradients = 0;  ///< over all weights, in the scratch model's layout
};

/// One of the models and what its training came to.
struct ComparedModel {
  ModelConfig config;       ///< which model
  Differences differences;  ///< from the scratch model
  TrainResult training;     ///< its epochs and predictions
};

/// What a comparison came to.
struct Comparison {
  std::vector<ComparedModel> models;  ///< as in kComparedModels
};

/// Draws a scratch model's weights, gives them to each of the models, measures how far from the
/// scratch model it computes, and trains it, all on the same batches and on the batches' device.
///
/// The concise model's perplexity drifts from the scratch model's with the epochs: where the
/// notebook has one bias a gate, torch::nn adds two, each with the whole gradient, so that their
/// sum moves twice as far. The fused model has the scratch model's own weights and differs by
/// rounding.
///
/// `callbacks` is asked, before each model's training, what to call during it. Throws UsageError
/// for the mlp cell and for options out of range, Error when training diverges.
Comparison compare(const SeqDataLoader& train_iter, const Vocab& vocab,
                   const CompareOptions& options,
                   const std::function<TrainCallbacks(const ModelConfig&)>& callbacks = {});

}  // namespace unroll

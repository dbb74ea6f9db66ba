#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "unroll/compute.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

namespace unroll {

/// What is measured, and how often.
struct BenchOptions {
  std::vector<ModelConfig> models = std::vector<ModelConfig>(1);  ///< each of these
  std::vector<int64_t> threads = {1};                  ///< with each of these numbers of threads
  std::vector<GraphMode> graphs = {GraphMode::kAuto};  ///< each both ways, on a CUDA device
  int64_t repeat = 5;                                  ///< epochs of each, taken in turns
};

/// Throws UsageError unless every model and number is in range.
void check(const BenchOptions& options);

/// One model with one number of threads, its steps captured or not.
struct BenchRow {
  ModelConfig config;  ///< its precision is what it was computed in
  int64_t threads = 1;
  GraphMode graph = GraphMode::kAuto;     ///< as it was asked for
  bool is_captured = false;               ///< whether its steps were replayed from a graph
  bool has_kernels = false;               ///< whether a fused model's own kernels computed them
  std::vector<double> tokens_per_second;  ///< of each epoch
  double flops = 0;    ///< floating-point operations a second, at the median speed
  double peak = 0;     ///< those that this many threads reached in registers, just then; 0 on a GPU
  StepSeconds phases;  ///< seconds of all epochs; 0 on a GPU
  /// Most memory that making the model and training it for an epoch added to the process, or on a
  /// GPU to what LibTorch holds there; the first row bears what LibTorch itself takes at first. 0
  /// where the system does not tell.
  int64_t peak_bytes = 0;

  /// Median over epochs.
  double median() const;
};

/// Multiply-adds in registers on all of `threads` threads for about 50 ms: floating-point
/// operations a second, the most that a model in float32 could reach.
double measure_peak(int64_t threads);

/// Trains every model for one epoch to warm up and then, taking turns, for `repeat` more, on the
/// batches' device. Sets LibTorch's number of threads and restores it.
std::vector<BenchRow> bench(const SeqDataLoader& train_iter, int64_t vocab_size,
                            const BenchOptions& options, const TrainCallbacks& callbacks = {});

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

#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "unroll/compute.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

namespace unroll {

/// A model, and how it is computed.
struct ModelSetup {
  ModelConfig config = {};
  Compute compute = {};

  bool operator==(const ModelSetup&) const = default;

  /// Its name in tables: `scratch` or `concise` if it is computed plain, else `fused`.
  std::string name() const;
};

/// What is measured, and how often.
struct BenchOptions {
  std::vector<ModelSetup> models = std::vector<ModelSetup>(1);  ///< each of these
  std::vector<int64_t> threads = {1};  ///< with each of these numbers of threads
  int64_t repeat = 5;                  ///< epochs of each, taken in turns

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.repeat, {"repeat", "N", "epochs of each, taken in turns", from_to(1, 1'000'000)});
  }
};

/// Throws UsageError unless every model and number is in range.
void check(const BenchOptions& options);

/// One model with one number of threads.
struct BenchRow {
  ModelSetup setup = {};  ///< as it was asked for
  int64_t threads = 1;
  Compute effective = {};                      ///< as it was computed
  bool is_captured = false;                    ///< whether its steps were replayed from a graph
  std::vector<double> tokens_per_second = {};  ///< of each epoch
  double flops = 0;  ///< floating-point operations a second, at the median speed
  double peak = 0;   ///< what as many threads reached in registers in the same run; 0 on a GPU
  StepSeconds phases = {};  ///< seconds of all epochs; 0 on a GPU
  /// The most memory that making the model and training it for an epoch added to the process, or on
  /// a GPU to what LibTorch holds there. The first row includes what LibTorch itself takes at
  /// first. 0 if the system does not report it.
  int64_t peak_bytes = 0;

  /// Median over epochs.
  double median() const;
};

/// Measures multiply-adds in registers on `threads` threads for about 50 ms. Returns floating-point
/// operations a second: the most that a model in float32 could reach.
double measure_peak(int64_t threads);

/// Trains every model for one epoch to warm up and then, taking turns, for `repeat` more, on the
/// batches' device. Sets LibTorch's number of threads and restores it.
std::vector<BenchRow> bench(const SeqDataLoader& train_iter, int64_t vocab_size,
                            const BenchOptions& options, const TrainCallbacks& callbacks = {});

/// What is compared: the scratch, the concise and the fused model of one cell.
struct CompareOptions {
  Cell cell = Cell::kRnn;  ///< any but mlp; the gru's reset is after the product, as in torch::nn
  int64_t hidden = 512;    ///< H
  GraphMode graph = GraphMode::kAuto;   ///< of the steps on a CUDA device
  TrainOptions train = {.epochs = 20};  ///< the training, the same for all
};

/// The models that are compared, in this order: scratch and concise computed plain, and the scratch
/// model computed by our kernels.
std::vector<ModelSetup> compared_models(const CompareOptions& options);

/// Throws UsageError unless the cell exists in all models and every value is in range.
void check(const CompareOptions& options);

/// Largest absolute differences of a model from the scratch model, from the same weights on the
/// first batch.
struct Differences {
  double logits = 0;     ///< of the first batch
  double states = 0;     ///< after the first batch
  double gradients = 0;  ///< over all weights, in the scratch model's layout
};

/// One of the models, and the results of its training.
struct ComparedModel {
  ModelSetup setup = {};         ///< which model, as it was asked for
  Compute effective = {};        ///< as it was computed
  Differences differences = {};  ///< from the scratch model
  TrainResult training = {};     ///< its epochs and predictions
};

/// The results of a comparison.
struct Comparison {
  std::vector<ComparedModel> models = {};  ///< as in compared_models
};

/// Draws a scratch model's weights, gives them to each of the models, measures how far from the
/// scratch model it computes, and trains it, all on the same batches and on the batches' device.
///
/// The concise model's perplexity drifts from the scratch model's with the epochs: where the
/// notebook has one bias a gate, torch::nn adds two, each with the whole gradient, so that their
/// sum moves twice as far. The fused model has the scratch model's own weights and differs by
/// rounding.
///
/// `callbacks` is called before each model's training, and returns what to call during it. Throws
/// UsageError for the mlp cell and for options out of range, Error when training diverges.
Comparison compare(const SeqDataLoader& train_iter, const Vocab& vocab,
                   const CompareOptions& options,
                   const std::function<TrainCallbacks(const ModelSetup&)>& callbacks = {});

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "unroll/model_config.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"
#include "unroll/train_step.h"

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

}  // namespace unroll

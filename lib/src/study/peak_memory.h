#pragma once

#include <torch/types.h>

#include <cstdint>

#include "unroll/optim.h"
#include "unroll/seq_data.h"
#include "unroll/study.h"

namespace unroll {

/// The most memory in use since construction: of the process, or of what LibTorch holds on a GPU.
class PeakMemory {
 public:
  explicit PeakMemory(torch::Device device);

  /// Bytes beyond what there was; 0 where the system does not report them.
  int64_t added() const;

  /// Bytes in all, also before.
  int64_t total() const;

 private:
  int64_t peak() const;

  torch::Device device_;
  int64_t before_ = 0;
  int64_t peak_before_ = 0;
};

/// Makes a model, trains it on two batches of the data, as train_ch8 would, and returns the most
/// memory that this took.
PeakMemory measure_training(const SeqDataLoader& train_iter, int64_t vocab_size,
                            const ModelSetup& setup, const UpdaterOptions& updater_options);

}  // namespace unroll

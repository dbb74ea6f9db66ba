#pragma once

#include <torch/types.h>

#include "unroll/train.h"

namespace unroll {

/// The sums of no batch, on a device.
inline Sums zero_sums(torch::Device device) {
  const auto options = torch::TensorOptions().device(device);
  return {.loss = torch::zeros({}, options.dtype(torch::kFloat64)),
          .grad_norm = torch::zeros({}, options.dtype(torch::kFloat64)),
          .nonfinite = torch::zeros({}, options.dtype(torch::kInt64))};
}

/// The running epoch's sums, which begin with zeros.
inline Sums& begin_sums(TrainProgress& progress, torch::Device device) {
  if (!progress.sums.loss.defined()) {
    progress.sums = zero_sums(device);
  }
  return progress.sums;
}

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstdint>

#include "unroll/model.h"

namespace unroll {

/// A copy of a tensor that was stored for a weight, on the weight's device. Throws Error unless it
/// has the weight's shape and type.
torch::Tensor fitting(const torch::Tensor& loaded, const NamedTensor& weight);

/// The steps that were stored for a weight, as `<weight>.step`. Throws Error unless it is one int64
/// in range.
int64_t steps_of(const NamedTensors& tensors, const NamedTensor& weight);

}  // namespace unroll

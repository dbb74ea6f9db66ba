#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "unroll/tensors.h"

namespace unroll {

/// A copy of a tensor from a checkpoint on the device of the one whose place it takes. Throws
/// Error, which calls it `what`, unless it has the same shape and type.
torch::Tensor copy_fitting(const torch::Tensor& loaded, const torch::Tensor& expected,
                           std::string_view what);

/// What was stored for a weight as its name and `what`, likewise.
torch::Tensor stored_for(const NamedTensor& weight, const NamedTensors& state,
                         const std::string& what);

/// The steps that were stored for a weight, as `<weight>.step`. Throws Error unless it is one int64
/// in range.
int64_t steps_of(const NamedTensors& tensors, const NamedTensor& weight);

}  // namespace unroll

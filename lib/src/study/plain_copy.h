#pragma once

#include <memory>

#include "unroll/compute.h"
#include "unroll/model.h"
#include "unroll/tensors.h"

namespace unroll {

/// A model with copies of these weights, on the CPU, computed plain and without dropout, so that it
/// can be looked into whatever computed the training. LibTorch's generator is left as it was: a
/// training that goes on afterwards draws the same numbers.
///
/// Throws UsageError for a description that contradicts itself, Error for other weights.
std::unique_ptr<SequenceModel> plain_copy(const ModelConfig& config, const NamedTensors& weights);

}  // namespace unroll

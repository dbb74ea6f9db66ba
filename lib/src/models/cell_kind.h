#pragma once

#include <torch/nn/options/rnn.h>

#include "kernels/cell_table.h"
#include "unroll/compute.h"

namespace unroll {

/// The recurrence that a description stands for.
/// Throws UsageError for the mlp cell, which has none.
CellKind cell_kind(const ModelConfig& config);

/// The recurrence of one of torch::nn's layers.
Cell cell_of(const torch::nn::detail::RNNOptionsBase& options);

/// The scratch model of this recurrence, but for its size.
ModelConfig scratch_config(CellKind cell);

}  // namespace unroll

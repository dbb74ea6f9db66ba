#pragma once

#include "unroll/model.h"
#include "unroll/model_config.h"

namespace unroll {

/// A one-layer model's weights as the scratch model of the same cell holds them: the notebook's
/// names, order and shapes. A concise model's two biases of a gate become one, their sum.
/// Throws UsageError for more than one layer.
NamedTensors scratch_weights(const ModelConfig& config, const NamedTensors& weights);

/// The gradients of such weights, likewise. A weight without gradient counts as zero.
NamedTensors scratch_gradients(const ModelConfig& config, const NamedTensors& weights);

/// The inverse of scratch_weights: what torch::nn's layer of this cell holds for the same function.
/// Its second bias of a gate is zero, but for the GRU's candidate, which takes b_hh.
/// Throws UsageError for a cell that torch::nn has not (mlp).
NamedTensors concise_weights(Cell cell, const NamedTensors& scratch);

}  // namespace unroll

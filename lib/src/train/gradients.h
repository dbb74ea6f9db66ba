#pragma once

#include <torch/types.h>

#include <vector>

#include "unroll/model.h"

namespace unroll {

/// Those of the model's weights that are trained: that require a gradient.
NamedTensors trained_weights(const SequenceModel& net);

/// The gradients that are there.
std::vector<torch::Tensor> gradients(const std::vector<torch::Tensor>& params);

/// Clips gradients as grad_clipping does, by operations on their device alone. Returns the norm
/// before. `grads` must not be empty.
torch::Tensor clip_on_device(const std::vector<torch::Tensor>& grads, double theta);

/// p -= lr * its gradient: on CPUs with AVX2 to the bit what p.sub_() does, in less time.
void descend(const torch::Tensor& p, double lr);

}  // namespace unroll

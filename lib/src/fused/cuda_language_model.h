#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <utility>

#include "layers/cuda_layers.h"

namespace unroll {

/// Logits (T*B, V) of a language model on a device, or the mean cross-entropy where the batch has
/// labels, and the state after the last step. X (B,T) int64; the rest as of run_layers_on_cuda.
std::pair<torch::Tensor, State> run_on_cuda(
    const CudaKernels& kernels, const Layout& layout, at::TensorList weights, const Batch& batch,
    const State& state, double dropout, cuda::Operands operands,
    const std::optional<at::Generator>& generator = {},
    const std::shared_ptr<Workspace>& workspace = std::make_shared<Workspace>());

}  // namespace unroll

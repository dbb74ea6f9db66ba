#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "cuda_part/cuda_kernels.h"
#include "fused/layout.h"
#include "unroll/compute.h"

namespace unroll {

/// What the products with W_h multiply where kernels compute a layer of H units and batches of B in
/// this precision: bf16 for that if the weights find room so, else float32; nothing without
/// kernels.
std::optional<cuda::Operands> operands_of(const CudaKernels& kernels, Precision precision,
                                          CellKind cell, int64_t batch_size, int64_t hidden,
                                          torch::Device device);

/// Logits (T*B, V) of a fused model on a device, or the mean cross-entropy where the batch has
/// labels, and the state after the last step: the products with large matrices by LibTorch, all
/// else by kernels.
///
/// X (B,T) int64; state as the model has it; dropout between the layers, drawn from `generator` or
/// LibTorch's default; `operands` of the products with W_h, there and back. The kernels must
/// outlive the graph, which can be differentiated once. The workspace is for one call at a time,
/// with its way back. Throws Error for a shape that does not fit.
std::pair<torch::Tensor, State> run_on_cuda(
    const CudaKernels& kernels, const Layout& layout, at::TensorList weights, const Batch& batch,
    const State& state, double dropout, cuda::Operands operands,
    const std::optional<at::Generator>& generator = {},
    const std::shared_ptr<Workspace>& workspace = std::make_shared<Workspace>());

}  // namespace unroll

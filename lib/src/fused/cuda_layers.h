#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "cuda_part/cuda_kernels.h"
#include "fused/layout.h"
#include "unroll/compute.h"

namespace unroll {

/// A layer's weights as a device's kernels read them, made by LibTorch's operations, so that
/// gradients find their way back. G gates stand side by side, in the kernels' order.
struct StackedLayer {
  torch::Tensor W_x;   ///< (inputs, GH)
  torch::Tensor b;     ///< (GH), all biases outside the reset gate
  torch::Tensor W_h;   ///< (H, GH)
  torch::Tensor b_hh;  ///< (H): GRU with the reset after the product; else undefined
};

/// Layer l of a model's weights.
StackedLayer stack_layer(const Layout& layout, at::TensorList weights, int64_t l);

/// What the products with W_h multiply where kernels compute a layer of H units and batches of B in
/// this precision: bf16 for that if the weights find room so, else float32; nothing without
/// kernels.
std::optional<cuda::Operands> operands_of(const CudaKernels& kernels, Precision precision,
                                          CellKind cell, int64_t batch_size, int64_t hidden,
                                          torch::Device device);

/// Logits (T*B, V) and the state after the last step of a fused model on a device: the recurrence
/// by its kernels, all else by LibTorch's operations.
///
/// X (B,T) int64; state as the model has it; dropout between the layers, drawn from `generator` or
/// LibTorch's default; `operands` of the products with W_h, there and back. The kernels must
/// outlive the graph. Throws Error for a shape that does not fit.
std::pair<torch::Tensor, State> run_on_cuda(const CudaKernels& kernels, const Layout& layout,
                                            at::TensorList weights, const torch::Tensor& X,
                                            const State& state, double dropout,
                                            cuda::Operands operands,
                                            const std::optional<at::Generator>& generator = {});

}  // namespace unroll

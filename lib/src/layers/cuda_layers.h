#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "cuda_part/cuda_kernels.h"
#include "layers/layout.h"
#include "unroll/compute.h"

namespace unroll {

/// What the products with W_h multiply where kernels compute a layer of H units and batches of B in
/// this precision: bf16 for that if the weights find room so, else float32; nothing without
/// kernels.
std::optional<cuda::Operands> operands_of(const CudaKernels& kernels, Precision precision,
                                          CellKind cell, int64_t batch_size, int64_t hidden,
                                          torch::Device device);

/// The same for one layer on one device, found out once for each batch size.
class LayerOperands {
 public:
  LayerOperands(const CudaKernels& kernels, Precision precision, CellKind cell, int64_t hidden)
      : kernels_(kernels), precision_(precision), cell_(cell), hidden_(hidden) {}

  std::optional<cuda::Operands> of(int64_t batch_size, torch::Device device);

 private:
  const CudaKernels& kernels_;
  Precision precision_;
  CellKind cell_;
  int64_t hidden_;
  std::map<std::pair<int64_t, c10::DeviceIndex>, std::optional<cuda::Operands>> found_;
};

/// The last layer's states h (T,B,H) and all layers' after the last step: the products with large
/// matrices by LibTorch, all else by kernels.
///
/// `weights`: those of all layers; input: tokens (T,B) int64, or numbers (T,B,inputs); state as
/// check_states wants it; dropout between the layers, drawn from `generator` or LibTorch's default;
/// `operands` of the products with W_h, there and back. The kernels must outlive the graph, which
/// can be differentiated again where it is kept. The workspace is for one call at a time, with its
/// way back. Throws Error for a shape that does not fit.
std::pair<torch::Tensor, State> run_layers_on_cuda(
    const CudaKernels& kernels, const Layout& layout, at::TensorList weights,
    const torch::Tensor& input, const State& state, cuda::Operands operands,
    const std::shared_ptr<Workspace>& workspace, double dropout = 0,
    const std::optional<at::Generator>& generator = {});

}  // namespace unroll

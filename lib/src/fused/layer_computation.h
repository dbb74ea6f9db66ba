#pragma once

#include <torch/nn/options/rnn.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "fused/cuda_layers.h"
#include "fused/layers_node.h"
#include "fused/layout.h"
#include "unroll/compute.h"

namespace unroll {

/// Layers of torch::nn's kind by our kernels, where they can: float32 on a CPU or a CUDA device.
class LayerComputation {
 public:
  LayerComputation(const torch::nn::detail::RNNOptionsBase& options, const Compute& compute);

  const Compute& compute() const { return compute_; }

  /// The precision in which they compute batches of so many sequences with such weights, states and
  /// inputs; nothing where they do not, or somebody else is to.
  std::optional<Precision> precision(int64_t batch_size, at::TensorList tensors) const;

  /// The outputs and the states after the last step, or nothing where precision() says so. As
  /// FusedLayer's; `weights` in torch::nn's order, with dropout where it `trains`.
  std::optional<std::pair<torch::Tensor, State>> run(at::TensorList weights,
                                                     const torch::Tensor& input, State state,
                                                     bool trains);

 private:
  // So many layers in one direction, the first of which is number `first` of layers x directions.
  // x (T,B,.) -> h (T,B,H); each state (layers,B,H).
  std::pair<torch::Tensor, State> run_stack(const torch::Tensor& x, std::size_t first,
                                            const std::vector<torch::Tensor>& weights,
                                            const State& state, double dropout);
  std::pair<torch::Tensor, State> run_both_directions(torch::Tensor x,
                                                      const std::vector<torch::Tensor>& weights,
                                                      const State& state, double dropout);
  // Throws Error unless they fit the options; an empty state becomes zeros.
  void check_arguments(const torch::Tensor& input, const torch::Tensor& weight, State& state) const;

  bool is_left_to_torch() const;
  // What the products multiply on a CUDA device; nothing where there are no kernels for it.
  std::optional<cuda::Operands> operands(int64_t batch_size, torch::Device device) const;

  torch::nn::detail::RNNOptionsBase options_;
  Compute compute_;
  Layout layout_;  // of one stack: all layers, or in both directions each by itself
  std::vector<std::shared_ptr<LayerStacks>> stacks_;  // the CPU's memory of each
  std::vector<std::shared_ptr<Workspace>> workspaces_;
  mutable std::optional<LayerOperands> operands_;  // once there was a CUDA device
};

}  // namespace unroll

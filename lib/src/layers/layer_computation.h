#pragma once

#include <torch/nn/options/rnn.h>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "layers/cpu_layers.h"
#include "layers/cuda_layers.h"
#include "layers/layout.h"
#include "unroll/compute.h"

namespace unroll {

/// Layers of torch::nn's kind by our kernels, where they can: float32 on a CPU or a CUDA device.
class LayerComputation {
 public:
  using Options = torch::nn::detail::RNNOptionsBase;

  /// Throws UsageError for a precision that is asked of somebody else.
  explicit LayerComputation(const Compute& compute);

  const Compute& compute() const { return compute_; }

  /// The precision in which the kernels compute batches of so many sequences with such weights,
  /// states and inputs; nothing where they cannot, or somebody else is to.
  std::optional<Precision> precision(const Options& options, int64_t batch_size,
                                     at::TensorList tensors);

  /// The outputs and the states after the last step, or nothing where precision() says so.
  ///
  /// `weights` in torch::nn's order; input (T,B,inputs), or (B,T,inputs) where the options say so;
  /// each state (layers x directions,B,H), or none for zeros; with dropout where it `trains`.
  /// Throws Error for a shape that does not fit, and for dropout that would not draw from the
  /// generator that was given.
  std::optional<std::pair<torch::Tensor, State>> run(const Options& options, at::TensorList weights,
                                                     const torch::Tensor& input, State state,
                                                     bool trains);

 private:
  // Layers that are run one after the other, in one direction: all of them, or where there are two
  // directions each layer and direction by itself.
  struct Stack {
    std::shared_ptr<LayerStacks> memory;  // on a CPU
    std::map<c10::DeviceIndex, std::shared_ptr<Workspace>> workspaces = {};
  };
  struct Shape {
    Layout layout;  // of a stack
    int64_t stacks;
    int64_t hidden;
    bool operator==(const Shape&) const = default;
  };

  // Makes the stacks that such layers need.
  void prepare(const Options& options);
  bool is_left_to_torch(const Options& options) const;
  // What the products multiply on a CUDA device; nothing where there are no kernels for it.
  std::optional<cuda::Operands> operands(int64_t batch_size, torch::Device device);
  // x (T,B,.) -> h (T,B,H), by stack i, whose weights and states these are.
  std::pair<torch::Tensor, State> run_stack(std::size_t i, at::TensorList weights,
                                            const torch::Tensor& x, const State& state,
                                            double dropout);
  std::pair<torch::Tensor, State> run_both_directions(at::TensorList weights, torch::Tensor x,
                                                      const State& state, double dropout);

  Compute compute_;
  std::optional<Shape> shape_;
  std::vector<Stack> stacks_;
  std::optional<LayerOperands> operands_;  // once there was a CUDA device
};

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstddef>
#include <vector>

#include "cuda_part/cuda_kernels.h"
#include "unroll/model.h"
#include "unroll/train.h"

namespace unroll {

/// How a step on a device ends, once the gradients are there.
struct StepEnd {
  torch::Tensor loss = {};  ///< scalar float32, the mean of `tokens` tokens
  double tokens = 0;
  double clip = 0;     ///< bound on the gradients' norm; 0 is off
  bool stops = false;  ///< after a step that is not finite: the sums become NaN, all is skipped
  Sums sums = {};      ///< its tensors grow
  State after = {};    ///< the state after the batch
  State begin = {};    ///< what goes on after a step that is not finite; empty: `after`
  State carry = {};    ///< where the state that goes on is written
};

/// A weight and what an optimizer remembers of it. What it does not remember is undefined.
struct UpdatedWeight {
  torch::Tensor weight = {};
  torch::Tensor gradient = {};
  torch::Tensor mean = {};    ///< SGD: momentum; Adam: mean of gradients
  torch::Tensor square = {};  ///< Adam: mean of their squares
  torch::Tensor steps = {};   ///< Adam: steps so far, scalar float32
};

/// What is the same for all weights.
struct UpdateNumbers {
  cuda::UpdateRule rule = cuda::UpdateRule::kSgd;
  torch::Tensor lr = {};  ///< scalar float32
  double weight_decay = 0;
  double momentum = 0;
  double beta1 = 0;
  double beta2 = 0;
  double epsilon = 0;
};

/// The end of a step by two kernels: the norm, whether it is finite and the sums; then clip, update
/// and the state that goes on.
class UpdateKernels {
 public:
  /// For so many weights at most. The kernels must outlive it.
  UpdateKernels(const CudaKernels& kernels, torch::Device device, std::size_t most_weights);

  /// Whether they can do this: some weights, float32 tensors on this device, each in one piece and
  /// of its counterpart's shape, and kernels that compile.
  bool serve(const StepEnd& end, const std::vector<UpdatedWeight>& weights,
             cuda::UpdateRule rule) const;

  /// Does it. The gradients themselves are not scaled.
  void run(const StepEnd& end, const std::vector<UpdatedWeight>& weights,
           const UpdateNumbers& numbers);

 private:
  void norm(const StepEnd& end, const std::vector<UpdatedWeight>& weights);
  void update(const StepEnd& end, const std::vector<UpdatedWeight>& weights,
              const UpdateNumbers& numbers);

  const CudaKernels& kernels_;
  torch::Device device_;
  Workspace workspace_;
  torch::Tensor squares_;         // float64: the blocks' sums
  torch::Tensor scale_and_skip_;  // (2) float32: of the gradients; 1 to leave the step out
};

}  // namespace unroll

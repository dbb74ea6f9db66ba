#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "train/update_kernels.h"
#include "unroll/model.h"
#include "unroll/optim.h"

namespace unroll {

/// SGD, Adam and AdamW by our kernels or LibTorch's fused ones. Learning rate, count of steps and
/// whether to step at all are tensors beside the parameters, so that a step can be captured and
/// replayed. What it remembers has the names, shapes and types of torch::optim's state in an
/// Updater, and keeps its place in memory.
class DeviceUpdater : public Updater {
 public:
  /// float32 weights, all on one device. The kernels, which `finish` takes, must outlive it; null:
  /// there are none. Throws UsageError as check does.
  DeviceUpdater(NamedTensors weights, const UpdaterOptions& options,
                const CudaKernels* kernels = nullptr);

  /// Ends a step by our kernels (UpdateKernels). Returns false, and has done nothing, where they
  /// cannot.
  bool finish(const StepEnd& end);

  void zero_grad() override;
  void step() override;
  void step_unless(const torch::Tensor& skip) override;
  void set_lr(double lr) override;
  NamedTensors state() const override;
  void load_state(const NamedTensors& state) override;

 private:
  bool is_adam() const { return options_.optimizer != Optimizer::kSgd; }
  // Those of the weights that have a gradient.
  std::vector<torch::Tensor> of_trained(const std::vector<torch::Tensor>& of_weights) const;
  void descend(const torch::Tensor& skip);
  void adam(const torch::Tensor& skip);

  std::optional<UpdateKernels> kernels_;
  NamedTensors weights_;
  UpdaterOptions options_;
  double weight_decay_;
  torch::Tensor lr_;     // scalar float32
  torch::Tensor never_;  // scalar float32, 0: what step() does not skip
  // One of each for a weight, or none.
  std::vector<torch::Tensor> steps_;  // scalar float32, as the kernels want it
  std::vector<torch::Tensor> exp_avgs_;
  std::vector<torch::Tensor> exp_avg_sqs_;
  std::vector<torch::Tensor> momenta_;
};

}  // namespace unroll

#pragma once

#include <vector>

#include "train/host_gradient_sum.h"
#include "unroll/train.h"

namespace unroll {

/// A step on a CPU, as the notebook writes it: it looks at each loss before it updates.
class HostStep : public TrainStep {
 public:
  HostStep(SequenceModel& net, Updater& updater, TrainProgress& progress,
           const StepOptions& options);

  void run(const Batch& batch, bool reset_state) override;

  StepSeconds seconds() const override { return seconds_; }
  void reset_seconds() override { seconds_ = {}; }

 private:
  void finish(const Batch& batch, const WholeBatch& whole, const torch::Tensor& norm,
              const State& new_state);

  SequenceModel& net_;
  Updater& updater_;
  TrainProgress& progress_;
  StepOptions options_;
  std::vector<torch::Tensor> params_;
  HostGradientSum gradient_sum_;
  StepSeconds seconds_;
};

}  // namespace unroll

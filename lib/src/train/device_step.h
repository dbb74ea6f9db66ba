#pragma once

#include <torch/types.h>

#include <vector>

#include "unroll/model.h"
#include "unroll/optim.h"
#include "unroll/train.h"

namespace unroll {

/// A training step as operations on the model's device alone. The host neither waits for a value
/// nor decides by one, so what it does once for a batch can be captured and replayed.
class DeviceWork {
 public:
  /// All but the options must outlive it.
  DeviceWork(SequenceModel& net, Updater& updater, const StepOptions& options);

  /// Trains on one batch, from a state, and adds to the tensors of `sums`, not to its counts.
  /// Returns the state to carry.
  ///
  /// A step that is not finite changes neither weights nor updater; the state to carry is a new one
  /// then, and with kStop the sum of losses becomes NaN, so that the epoch's perplexity shows it.
  State run(const Batch& batch, const State& state, const Sums& sums);

  /// Whose weights are trained.
  const SequenceModel& model() const { return net_; }

 private:
  SequenceModel& net_;
  Updater& updater_;
  StepOptions options_;
  std::vector<torch::Tensor> params_;
};

/// That work, done operation by operation.
class DeviceStep : public TrainStep {
 public:
  DeviceStep(SequenceModel& net, Updater& updater, TrainProgress& progress,
             const StepOptions& options)
      : work_(net, updater, options), progress_(progress) {}

  void run(const Batch& batch, bool reset_state) override;

 private:
  DeviceWork work_;
  TrainProgress& progress_;
};

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <vector>

#include "unroll/model.h"
#include "unroll/optim.h"
#include "unroll/train.h"

namespace unroll {

/// A training step as operations on the model's device alone. The host neither waits for a value
/// nor decides by one, so what it does once for a batch can be captured and replayed.
class DeviceStep {
 public:
  /// All but `clip` must outlive the step.
  DeviceStep(SequenceModel& net, Updater& updater, double clip, OnNonfinite on_nonfinite);

  /// Trains on one batch, from a state, and adds to the tensors of `sums`, not to its counts.
  /// Returns the state to carry.
  ///
  /// A step that is not finite changes neither weights nor updater; the state to carry is zeros
  /// then, and with kStop the sum of losses becomes NaN, so that the epoch's perplexity tells.
  State run(const Batch& batch, const State& state, const Sums& sums);

  /// Whose weights are trained.
  const SequenceModel& model() const { return net_; }

 private:
  SequenceModel& net_;
  Updater& updater_;
  double clip_;
  OnNonfinite on_nonfinite_;
  std::vector<torch::Tensor> params_;
};

}  // namespace unroll

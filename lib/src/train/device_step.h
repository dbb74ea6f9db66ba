#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "cuda_part/device_sum.h"
#include "train/device_updater.h"
#include "train/gradient_sum.h"
#include "unroll/model.h"
#include "unroll/optim.h"
#include "unroll/train.h"

namespace unroll {

/// A training step as operations on the model's device alone. The host neither waits for a value
/// nor decides by one, so what it does once for a batch can be captured and replayed.
class DeviceWork {
 public:
  /// The net and the updater must outlive it. Gradients of ranks are added up by their devices'
  /// sum; null: through the hosts' memory, which cannot be captured.
  DeviceWork(SequenceModel& net, Updater& updater, const StepOptions& options,
             std::unique_ptr<DeviceSum> device_sum);

  /// Trains on one batch, from a state, and adds to the tensors of `sums`, not to its counts. The
  /// state to carry is written to the tensors of `carry`, which may be those of `state`.
  ///
  /// A step that is not finite changes neither weights nor updater. With kSkip the state to carry
  /// is a new one then. With kStop the sums become NaN, so that the epoch's perplexity shows it,
  /// and no further step changes anything.
  ///
  /// Returns how many tokens the whole batch has, of which ranks have parts.
  int64_t run(const Batch& batch, const State& state, const Sums& sums, const State& carry);

  /// Whose before_step and after_step are called at each step, and at each replay of a captured
  /// one.
  GradientSum& gradient_sum() { return *gradient_sum_; }

  /// Whose weights are trained.
  const SequenceModel& model() const { return net_; }

 private:
  // By LibTorch's operations, whatever the updater is.
  void finish(const StepEnd& end);

  SequenceModel& net_;
  Updater& updater_;
  DeviceUpdater* own_updater_;  // the updater, if it is one
  StepOptions options_;
  std::vector<torch::Tensor> params_;
  std::unique_ptr<GradientSum> gradient_sum_;
  torch::Tensor one_;  // of the loss, by itself
};

/// That work, done operation by operation.
class DeviceStep : public TrainStep {
 public:
  DeviceStep(SequenceModel& net, Updater& updater, TrainProgress& progress,
             const StepOptions& options, std::unique_ptr<DeviceSum> device_sum = nullptr)
      : work_(net, updater, options, std::move(device_sum)), progress_(progress) {}

  void run(const Batch& batch, bool reset_state) override;
  void run_batch(const Epoch& epoch, int64_t k) override;
  void wait() override { work_.gradient_sum().wait(); }

 private:
  DeviceWork work_;
  TrainProgress& progress_;
};

}  // namespace unroll

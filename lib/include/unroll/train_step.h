#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/error.h"
#include "unroll/model.h"
#include "unroll/optim.h"
#include "unroll/seq_data.h"

namespace unroll {

/// Sums over the batches of the running epoch. The tensors live on the model's device and are
/// read at the epoch's end only, so that nothing waits for the device before.
/// A step that was not finite adds to steps, tokens and nonfinite alone.
struct Sums {
  torch::Tensor loss;       ///< scalar float64, cross-entropy in nats summed over tokens
  torch::Tensor grad_norm;  ///< scalar float64, gradient norms before clipping
  torch::Tensor nonfinite;  ///< scalar int64, steps whose loss or gradient was not finite
  int64_t tokens = 0;       ///< tokens predicted
  int64_t steps = 0;        ///< batches trained on
  double seconds = 0;       ///< taken by them
};

/// Where a pass over the data stands.
struct TrainProgress {
  int64_t epoch = 0;  ///< epochs begun before the running one
  int64_t batch = 0;  ///< batches done in the running epoch
  Sums sums;          ///< of the running epoch
  State carry;        ///< the state after the last batch, detached
};

/// The sums of no batch, on a device.
Sums zero_sums(torch::Device device);

/// What becomes of a step whose loss or gradient is not finite.
enum class OnNonfinite {
  kStop,  ///< the training ends with an error
  kSkip,  ///< the weights stay, the state starts anew, and the training goes on
};

/// The name that parse_on_nonfinite reads.
std::string_view to_string(OnNonfinite on_nonfinite);

/// `stop` or `skip`; throws UsageError otherwise.
OnNonfinite parse_on_nonfinite(std::string_view name);

/// Whether steps on a CUDA device are captured once as a CUDA graph and then replayed.
enum class GraphMode {
  kAuto,  ///< off
  kOn,    ///< captured; where a model cannot be, it goes on operation by operation, and says so
  kOff,   ///< operation by operation
};

/// The name that parse_graph_mode reads.
std::string_view to_string(GraphMode mode);

/// `auto`, `on` or `off`; throws UsageError otherwise.
GraphMode parse_graph_mode(std::string_view name);

/// Throws Error for a graph that is asked for on another device than a CUDA device.
void require_graph(GraphMode mode, torch::Device device);

/// A step's loss or gradient was not finite.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// What steps have taken, by phase. On a CUDA device, which works on while the program goes on,
/// that tells nothing.
struct StepSeconds {
  double forward = 0;   ///< up to the loss
  double backward = 0;  ///< up to the gradients
  double update = 0;    ///< clipping, the update, the sums
};

/// Forward, backward, clip and update as one replaceable unit.
class TrainStep {
 public:
  virtual ~TrainStep() = default;

  /// Trains on one batch and adds to the progress' sums; starts from zeros when `reset_state`, else
  /// from the carried state.
  virtual void run(const Batch& batch, bool reset_state) = 0;

  /// The same for batch k of an epoch; the state is new at its first batch, and at every batch
  /// unless epoch.carries_state().
  virtual void run_batch(const Epoch& epoch, int64_t k) {
    run(epoch[k], k == 0 || !epoch.carries_state());
  }

  /// Whether steps are being replayed from a captured graph.
  virtual bool is_captured() const { return false; }

  /// Of all steps since construction or the last reset, where a step can tell.
  virtual StepSeconds seconds() const { return {}; }
  virtual void reset_seconds() {}
};

/// How a step trains.
struct StepOptions {
  double clip = 1;                                ///< bound on the gradient norm; 0 is off
  OnNonfinite on_nonfinite = OnNonfinite::kStop;  ///< when a loss or gradient is not finite
  GraphMode graph = GraphMode::kAuto;             ///< on a CUDA device
};

/// Called with the reason why steps are not captured though they should be.
using FallbackCallback = std::function<void(const std::string& reason)>;

/// The step that the options and the model's device ask for. All but the options must outlive it.
/// Throws Error as require_graph does.
std::unique_ptr<TrainStep> make_train_step(SequenceModel& net, Updater& updater,
                                           TrainProgress& progress, const StepOptions& options,
                                           FallbackCallback on_fallback = {});

class DeviceStep;

/// The step as the notebook writes it, operation by operation.
///
/// A step whose loss or gradient is not finite is counted, and leaves the weights and the updater.
/// With kStop on a CPU it throws Diverged, which names the batch, the loss and the norm; on a CUDA
/// device, which is not waited for, the epoch's end tells.
class EagerStep : public TrainStep {
 public:
  /// All three must outlive the step. `clip` is the bound on the gradient norm; 0 is off.
  EagerStep(SequenceModel& net, Updater& updater, double clip, TrainProgress& progress,
            OnNonfinite on_nonfinite = OnNonfinite::kStop);
  ~EagerStep() override;

  void run(const Batch& batch, bool reset_state) override;

  StepSeconds seconds() const override { return seconds_; }
  void reset_seconds() override { seconds_ = {}; }

 private:
  void finish(const Batch& batch, const torch::Tensor& loss, const torch::Tensor& norm,
              const State& new_state);
  Sums& sums_on(torch::Device device);

  SequenceModel& net_;
  Updater& updater_;
  double clip_;
  TrainProgress& progress_;
  OnNonfinite on_nonfinite_;
  std::vector<torch::Tensor> params_;
  std::unique_ptr<DeviceStep> on_device_;  // of a model that is not on a CPU
  StepSeconds seconds_;
};

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "unroll/model.h"
#include "unroll/optim.h"
#include "unroll/seq_data.h"
#include "unroll/vocab.h"

namespace unroll {

/// Sums over the batches of the running epoch. The tensors live on the model's device and are
/// read at the epoch's end only, so that nothing waits for the device before.
struct Sums {
  torch::Tensor loss;       ///< scalar float64, cross-entropy in nats summed over tokens
  torch::Tensor grad_norm;  ///< scalar float64, gradient norms before clipping
  torch::Tensor nonfinite;  ///< scalar int64, steps whose gradient was not finite
  int64_t tokens = 0;       ///< tokens predicted
  int64_t steps = 0;        ///< batches trained on
};

/// Where training stands: what a checkpoint adds to weights and updater.
struct TrainProgress {
  int64_t epoch = 0;  ///< epochs begun before the running one
  int64_t batch = 0;  ///< batches done in the running epoch
  Sums sums;          ///< of the running epoch
  State carry;        ///< the state after the last batch, detached
};

/// Forward, backward, clip and update as one replaceable unit.
class TrainStep {
 public:
  virtual ~TrainStep() = default;

  /// Trains on one batch and adds to the progress' sums; starts from zeros when `reset_state`, else
  /// from the carried state.
  virtual void run(const Batch& batch, bool reset_state) = 0;
};

/// What steps have taken, by phase. On a CUDA device, which works on while the program goes on,
/// that tells nothing.
struct StepSeconds {
  double forward = 0;   ///< up to the loss
  double backward = 0;  ///< up to the gradients
  double update = 0;    ///< clipping, the update, the sums
};

/// The step as the notebook writes it, operation by operation.
/// A step whose gradient is not finite is taken with a gradient of zero, which SGD does not move
/// by, and is counted.
class EagerStep : public TrainStep {
 public:
  /// All three must outlive the step. `clip` is the bound on the gradient norm; 0 is off.
  EagerStep(SequenceModel& net, Updater& updater, double clip, TrainProgress& progress);

  void run(const Batch& batch, bool reset_state) override;

  /// Of all steps since construction or the last reset.
  const StepSeconds& seconds() const { return seconds_; }
  void reset_seconds() { seconds_ = {}; }

 private:
  SequenceModel& net_;
  Updater& updater_;
  double clip_;
  TrainProgress& progress_;
  std::vector<torch::Tensor> params_;
  StepSeconds seconds_;
};

/// What one epoch came to.
struct EpochStats {
  int64_t epoch = 0;             ///< from 1
  double perplexity = 0;         ///< exp(mean cross-entropy in nats per token)
  double tokens_per_second = 0;  ///< predictions excluded
  double grad_norm = 0;          ///< mean norm before clipping
  double seconds = 0;            ///< predictions excluded
};

/// What train_ch8 does.
struct TrainOptions {
  int64_t epochs = 500;                   ///< passes over the corpus in total
  double lr = 1;                          ///< learning rate
  double clip = 1;                        ///< bound on the gradient norm; 0 is off
  Optimizer optimizer = Optimizer::kSgd;  ///< how gradients become steps
  int64_t every = 10;                     ///< epochs between two predictions; 0 is never
  int64_t predict = 50;                   ///< tokens of a prediction
  std::vector<std::string> prompts = {"time traveller", "traveller"};  ///< continued at the end
};

/// Throws UsageError unless every option is in range.
void check(const TrainOptions& options);

/// Called as training goes on; each may be empty. What they throw ends the training.
struct TrainCallbacks {
  std::function<void(const TrainProgress&, int64_t batches)> on_batch;  ///< after each batch
  std::function<void(const EpochStats&)> on_epoch;                      ///< after each epoch
  /// Every TrainOptions::every epochs: the first prompt continued.
  std::function<void(const EpochStats&, const std::string& text)> on_prediction;
};

/// What a training came to.
struct TrainResult {
  std::vector<EpochStats> epochs;        ///< all epochs, in order
  std::vector<std::string> predictions;  ///< each prompt continued
  double seconds = 0;                    ///< all of it, predictions included

  /// Of the last epoch.
  double perplexity() const;
  /// Median over epochs.
  double tokens_per_second() const;
};

/// One pass over an epoch, as the notebook's `train_epoch_ch8`.
///
/// The state is new at the first batch, and at every batch unless epoch.carries_state(). A
/// progress that stands inside the epoch goes on there.
/// Throws Error when a gradient was not finite, naming the epoch and how many steps.
EpochStats train_epoch_ch8(const Epoch& train_iter, TrainStep& step, TrainProgress& progress,
                           const TrainCallbacks& callbacks = {});

/// Trains for options.epochs epochs, as the notebook's `train_ch8`; calls back instead of printing.
/// Throws UsageError for options out of range, Error when training diverges.
TrainResult train_ch8(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab& vocab,
                      const TrainOptions& options = {}, const TrainCallbacks& callbacks = {});

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/error.h"
#include "unroll/model.h"
#include "unroll/optim.h"
#include "unroll/seq_data.h"
#include "unroll/vocab.h"

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

/// What one epoch came to.
struct EpochStats {
  int64_t epoch = 0;             ///< from 1
  double perplexity = 0;         ///< exp(mean cross-entropy in nats per token)
  double tokens_per_second = 0;  ///< predictions and validation excluded
  double grad_norm = 0;          ///< mean norm before clipping
  double seconds = 0;            ///< predictions and validation excluded
  double lr = 0;                 ///< learning rate of its last step
  int64_t skipped = 0;           ///< steps left out, not being finite
  std::optional<double>
      valid_perplexity;  ///< on text that is not trained on, where it was looked at
};

/// What train_ch8 does.
struct TrainOptions {
  int64_t epochs = 500;                   ///< passes over the corpus in total
  double lr = 1;                          ///< learning rate
  double clip = 1;                        ///< bound on the gradient norm; 0 is off
  Optimizer optimizer = Optimizer::kSgd;  ///< how gradients become steps
  double momentum = 0;                    ///< of sgd
  std::optional<double> weight_decay;     ///< empty: torch::optim's own, 0.01 for adamw, else 0
  ScheduleOptions schedule;               ///< how the learning rate changes
  OnNonfinite on_nonfinite = OnNonfinite::kStop;  ///< when a loss or gradient is not finite
  GraphMode graph = GraphMode::kAuto;             ///< of the steps; no part of a checkpoint
  int64_t valid_every = 1;                        ///< epochs between two validations
  int64_t patience = 0;  ///< validations without a better one after which to stop; 0 is never
  int64_t every = 10;    ///< epochs between two predictions; 0 is never
  int64_t predict = 50;  ///< tokens of a prediction
  std::vector<std::string> prompts = {"time traveller", "traveller"};  ///< continued at the end
};

/// Throws UsageError unless every option is in range.
void check(const TrainOptions& options);

/// The updater that the options describe. Throws UsageError as make_updater does.
std::unique_ptr<Updater> make_updater(SequenceModel& net, const TrainOptions& options);

/// Called as training goes on; each may be empty. What they throw ends the training.
struct TrainCallbacks {
  std::function<void(const TrainProgress&, int64_t batches)> on_batch;  ///< after each batch
  std::function<void(const EpochStats&)> on_epoch;                      ///< after each epoch
  /// Every TrainOptions::every epochs: the first prompt continued.
  std::function<void(const EpochStats&, const std::string& text)> on_prediction;
  std::function<void(const EpochStats&)> on_epoch_end;  ///< the last call of an epoch
  FallbackCallback on_graph_fallback;  ///< once, when steps cannot be captured as was asked for
};

/// What a training came to.
struct TrainResult {
  std::vector<EpochStats> epochs;        ///< all epochs, in order
  std::vector<std::string> predictions;  ///< each prompt continued
  double seconds = 0;                    ///< of this run, predictions included
  Best best;                             ///< of the validations, or of the epochs without any
  bool stopped_early = false;            ///< for want of a better validation

  /// Of the last epoch.
  double perplexity() const;
  /// The last that was looked at, if any.
  std::optional<double> valid_perplexity() const;
  /// Median over epochs.
  double tokens_per_second() const;
};

/// One pass over an epoch, as the notebook's `train_epoch_ch8`.
///
/// The state is new at the first batch, and at every batch unless epoch.carries_state(). A
/// progress that stands inside the epoch goes on there.
/// Throws Diverged when a loss or gradient was not finite and the step did not skip it, or when the
/// perplexity is not.
EpochStats train_epoch_ch8(const Epoch& train_iter, TrainStep& step, TrainProgress& progress,
                           const TrainCallbacks& callbacks = {});

/// Where a training stands, beside the model's weights: with the same weights, data and options it
/// goes on to the bit as if it had not stopped (on a CPU, with as many threads).
/// The tensors are live, not copies.
struct TrainState {
  TrainProgress progress;           ///< epoch, position within it, its sums, the carried state
  NamedTensors updater;             ///< what the optimiser remembers
  Best best;                        ///< of schedule and early stopping
  std::vector<EpochStats> history;  ///< of all epochs before the running one
  torch::Tensor cpu_generator;      ///< LibTorch's on the CPU, as uint8
  torch::Tensor cuda_generator;     ///< that of the model's device, when it is a CUDA device
};

/// A training that can stop after any batch and go on from there.
///
///     Training training(*net, train_iter, vocab, {.epochs = 20});
///     training.run();                        // or until a callback throws
///     const auto state = training.state();   // with net->weights(), all there is to keep
class Training {
 public:
  /// All but the options must outlive the training. `valid`: (N) token indices that are not trained
  /// on, to look at every valid_every epochs; undefined when there are none.
  /// Throws UsageError for options out of range, or a patience without validation,
  /// Error as require_graph does.
  Training(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab& vocab,
           TrainOptions options, torch::Tensor valid = {});
  ~Training();
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  /// Trains up to TrainOptions::epochs, from where it stands; continues the prompts.
  /// Throws Diverged as train_epoch_ch8 does.
  TrainResult run(const TrainCallbacks& callbacks = {});

  /// Also from within a callback, but for on_prediction.
  TrainState state() const;

  /// All epochs so far, and the best of them.
  const std::vector<EpochStats>& history() const { return history_; }
  const Best& best() const { return best_; }

  /// Goes on from there; the weights must be loaded apart. Throws Error when it does not fit the
  /// model, the optimiser or the data.
  void load_state(const TrainState& state);

 private:
  class ScheduledStep;

  EpochStats run_epoch(TrainStep& plain_step, const TrainCallbacks& callbacks);
  void validate(EpochStats& stats);
  bool is_out_of_patience() const;

  SequenceModel& net_;
  const SeqDataLoader& train_iter_;
  const Vocab& vocab_;
  TrainOptions options_;
  torch::Tensor valid_;
  std::unique_ptr<Updater> updater_;
  TrainProgress progress_;
  Best best_;
  std::vector<EpochStats> history_;
};

/// Trains for options.epochs epochs, as the notebook's `train_ch8`; calls back instead of printing.
/// Throws UsageError for options out of range, Diverged when training diverges.
TrainResult train_ch8(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab& vocab,
                      const TrainOptions& options = {}, const TrainCallbacks& callbacks = {});

}  // namespace unroll

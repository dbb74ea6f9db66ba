#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/optim.h"
#include "unroll/options.h"
#include "unroll/ranks.h"
#include "unroll/seq_data.h"
#include "unroll/vocab.h"

#pragma GCC visibility push(default)
namespace unroll {

/// Sums over the batches of the running epoch. The tensors are on the model's device and are read
/// only at the epoch's end, so that no step waits for one of their values.
/// A step that was not finite adds only to steps, tokens and nonfinite.
struct Sums {
  torch::Tensor loss = {};       ///< scalar float64, cross-entropy in nats summed over tokens
  torch::Tensor grad_norm = {};  ///< scalar float64, gradient norms before clipping
  torch::Tensor nonfinite = {};  ///< scalar int64, steps whose loss or gradient was not finite
  int64_t tokens = 0;            ///< tokens predicted
  int64_t steps = 0;             ///< batches trained on
  double seconds = 0;            ///< taken by them
};

/// How far a pass over the data has come.
struct TrainProgress {
  int64_t epoch = 0;  ///< epochs begun before the running one
  int64_t batch = 0;  ///< batches done in the running epoch
  Sums sums = {};     ///< of the running epoch
  State carry = {};   ///< the state after the last batch, detached
};

/// What happens after a step whose loss or gradient is not finite.
enum class OnNonfinite {
  kStop,  ///< the training ends with an error
  kSkip,  ///< the weights stay, the state is reset, and the training continues
};
constexpr auto enum_names(OnNonfinite) {
  return enum_table<OnNonfinite>("on-nonfinite",
                                 {{OnNonfinite::kStop, "stop"}, {OnNonfinite::kSkip, "skip"}});
}

/// A step's loss or gradient was not finite.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// The time that steps took, by phase. It means nothing on a CUDA device, which works on its own
/// while the program continues.
struct StepSeconds {
  double forward = 0;   ///< up to the loss
  double backward = 0;  ///< up to the gradients
  double exchange = 0;  ///< until they are those of all ranks
  double update = 0;    ///< clipping, the update, the sums
};

/// Forward, backward, clip and update as one replaceable unit.
class TrainStep {
 public:
  virtual ~TrainStep() = default;

  /// Trains on one batch and adds to the progress' sums; starts from zeros when `reset_state`, else
  /// from the carried state. Each batch counts by its B*T tokens, whatever its labels.
  virtual void run(const Batch& batch, bool reset_state) = 0;

  /// The same for batch k of an epoch; the state is new at its first batch, and at every batch
  /// unless epoch.carries_state().
  virtual void run_batch(const Epoch& epoch, int64_t k) {
    run(epoch[k], k == 0 || !epoch.carries_state());
  }

  /// Returns when the ranks' devices, which wait for each other, have done the steps they were
  /// given; throws RankLost when one waits in vain. Where no devices wait for each other it does
  /// nothing.
  ///
  /// All ranks call it before they read what the steps changed: to read it would wait too, but
  /// without a limit. They also call it before they destroy the step: that ends the work which is
  /// not done.
  virtual void wait() {}

  /// Whether steps are being replayed from a captured graph.
  virtual bool is_captured() const { return false; }

  /// Of all steps since construction or the last reset; zeros if the step does not measure it.
  virtual StepSeconds seconds() const { return {}; }
  /// Sets them to zero.
  virtual void reset_seconds() {}
};

/// A step's loss, a scalar with gradient, and the state after the batch. It is called once a step,
/// which is not captured as a graph. A checkpoint does not keep it: a resumed training must be
/// given it again.
using LossFn = std::function<std::pair<torch::Tensor, State>(SequenceModel& net, const Batch& batch,
                                                             const State& state)>;

/// How a step trains.
struct StepOptions {
  double clip = 1;  ///< bound on the gradient norm; 0 is off. What a step leaves in .grad is open
  OnNonfinite on_nonfinite = OnNonfinite::kStop;  ///< when a loss or gradient is not finite
  LossFn loss = {};  ///< a loss of your own, in nats a token; empty: SequenceModel::loss
  /// Those that train together; none: this process alone. A step's batch is then this rank's rows
  /// of the whole one, and its loss and gradients become those of the whole.
  std::shared_ptr<Ranks> ranks = {};

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.clip,
          {"clip", "X", "bound on the gradient norm; 0 is off", at_least(0, "0 is off")});
    visit(self.on_nonfinite,
          {"on-nonfinite", "HOW",
           "what to do if a loss or gradient is not finite: stop, or skip the step"});
  }
};

/// Called with the reason if steps should be captured and cannot be.
using FallbackCallback = std::function<void(const std::string& reason)>;

/// The step for a model. On a CPU it checks each loss. On another device it waits for no value, and
/// with a graph it is captured and replayed (GraphMode). All but the options must outlive it.
///
/// All of several ranks call it at once, and it throws RankLost. Where each has a CUDA device of
/// its own, NCCL adds up their gradients on these (RankBackend::kAuto). With RankBackend::kGloo,
/// and with a loss or an optimizer of one's own, the gradients go through the hosts' memory, and no
/// step is captured.
///
/// A step whose loss or gradient is not finite is counted, and leaves the weights and the updater.
/// With kStop on a CPU it throws Diverged, which names the batch, the loss and the norm; elsewhere
/// no further step of the epoch trains, and its end shows it. Throws Error for GraphMode::kOn on
/// another device than CUDA.
std::unique_ptr<TrainStep> make_train_step(SequenceModel& net, Updater& updater,
                                           TrainProgress& progress, const StepOptions& options = {},
                                           GraphMode graph = GraphMode::kOff,
                                           FallbackCallback on_fallback = {});

/// The results of one epoch.
struct EpochStats {
  int64_t epoch = 0;             ///< from 1
  double perplexity = 0;         ///< exp(mean loss of the batches in nats)
  double tokens_per_second = 0;  ///< predictions and validation excluded
  double grad_norm = 0;          ///< mean norm before clipping
  double seconds = 0;            ///< predictions and validation excluded
  double lr = 0;                 ///< learning rate of its last step
  int64_t skipped = 0;           ///< steps left out because they were not finite
  std::optional<double> valid_perplexity =
      {};  ///< on text that is not trained on, if it was measured
  std::optional<double> valid_known_perplexity = {};  ///< of it without the tokens that are `<unk>`
};

/// What train_ch8 does.
struct TrainOptions {
  int64_t epochs = 500;           ///< passes over the corpus in total
  UpdaterOptions updater = {};    ///< how gradients become steps
  StepOptions step = {};          ///< what is done to the gradients before
  ScheduleOptions schedule = {};  ///< how the learning rate changes
  int64_t valid_every = 1;        ///< epochs between two validations
  int64_t patience = 0;  ///< stop after this many validations without a better one; 0 is never
  int64_t every = 10;    ///< epochs between two predictions; 0 is never
  int64_t predict = 50;  ///< tokens of a prediction
  /// Continued at the end, if there is a vocabulary.
  std::vector<std::string> prompts = {"time traveller", "traveller"};

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.epochs, {"epochs", "N", "passes over the corpus", at_least(1)});
    UpdaterOptions::fields(self.updater, visit);
    StepOptions::fields(self.step, visit);
    ScheduleOptions::fields(self.schedule, visit);
    visit(self.valid_every, {"valid-every", "N", "epochs between two validations", at_least(1)});
    visit(self.patience,
          {"patience", "N", "stop after N validations without a better one; 0 is never",
           at_least(0, "0 is never")});
    visit(self.every,
          {"every", "N",
           "epochs between two predictions, and between two points of the plot; 0 is never",
           at_least(0, "0 is never")});
    visit(self.predict, {"predict", "N", "tokens to continue a prompt by", at_least(0)});
    visit(self.prompts, {"prompt", "TEXT",
                         "text to continue; repeatable (default: 'time traveller', 'traveller')"});
  }
};

/// Throws UsageError unless every option is in range.
void check(const TrainOptions& options);

/// Called during training; each may be empty. An exception from one ends the training.
struct TrainCallbacks {
  std::function<void(const TrainProgress&, int64_t batches)> on_batch = {};  ///< after each batch
  std::function<void(const EpochStats&)> on_epoch = {};                      ///< after each epoch
  /// Every TrainOptions::every epochs: the first prompt continued.
  std::function<void(const EpochStats&, const std::string& text)> on_prediction = {};
  std::function<void(const EpochStats&)> on_epoch_end = {};  ///< the last call of an epoch
  FallbackCallback on_graph_fallback = {};                   ///< once, if steps cannot be captured
};

/// The results of a training.
struct TrainResult {
  std::vector<EpochStats> epochs = {};        ///< all epochs, in order
  std::vector<std::string> predictions = {};  ///< each prompt continued; none without a vocabulary
  double seconds = 0;                         ///< of this run, predictions included
  Best best = {};                             ///< of the validations, or of the epochs without any
  bool stopped_early = false;                 ///< because no validation was better for too long

  /// Of the last epoch; not a number without one.
  double perplexity() const;
  /// The last epoch that was validated; none if there is none.
  const EpochStats* last_validated() const;
  /// The last one measured, if any.
  std::optional<double> valid_perplexity() const;
  /// Median over epochs.
  double tokens_per_second() const;
};

/// One pass over an epoch, as the notebook's `train_epoch_ch8`.
///
/// The state is new at the first batch, and at every batch unless epoch.carries_state(). If
/// `progress` is inside the epoch, the pass continues there.
/// Throws Diverged if a loss or gradient was not finite and the step did not skip it, or if the
/// perplexity is not finite.
EpochStats train_epoch_ch8(const Epoch& train_iter, TrainStep& step, TrainProgress& progress,
                           const TrainCallbacks& callbacks = {});

/// The state of a training, without the model's weights. With the same weights, data and options a
/// training continues from it to the same bits as if it had not stopped (on a CPU, with as many
/// threads).
/// The tensors are live, not copies.
struct TrainState {
  TrainProgress progress = {};           ///< epoch, position within it, its sums, the carried state
  NamedTensors updater = {};             ///< what the optimiser remembers
  Best best = {};                        ///< of schedule and early stopping
  std::vector<EpochStats> history = {};  ///< of all epochs before the running one
  torch::Tensor cpu_generator = {};      ///< Compute's own or LibTorch's on the CPU, as uint8
  torch::Tensor cuda_generator = {};  ///< likewise of the model's device, when it is a CUDA device
};

/// A training that can stop after any batch and continue from there.
///
///     Training training(*net, train_iter, vocab, {.epochs = 20});
///     training.run();                        // or until a callback throws
///     const auto state = training.state();   // with net->weights(), all there is to keep
///
/// With ranks (StepOptions::ranks) each of them makes the same training, of the same whole batches.
/// Each epoch begins with rank 0's weights, and the ranks share the rows of a batch and of the
/// validation text. What they then know is the same: sums, results, best, state. Only what is drawn
/// while training, for dropout, is each rank's own: it begins anew with each epoch, and where one
/// is resumed.
class Training {
 public:
  /// All but the options must outlive the training. `valid`: (N) token indices that are not trained
  /// on, to measure every valid_every epochs, as `evaluate` does unless told otherwise; undefined
  /// if there are none. Steps are captured as net.effective_compute says. Throws UsageError for
  /// options out of range, or a patience without validation; Error if the vocabulary is not of the
  /// model's size, a token of a corpus is not in it, or there is nothing to train (make_updater).
  Training(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab& vocab,
           TrainOptions options, torch::Tensor valid = {});
  /// The same for sequences that are no text, but token ids in [0,V): there is no vocabulary, so no
  /// prompt is continued. What the model predicts is asked with the predict_ch8 of token ids.
  Training(SequenceModel& net, const SeqDataLoader& train_iter, TrainOptions options,
           torch::Tensor valid = {});
  ~Training();
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  /// Trains from where it is up to TrainOptions::epochs, then continues the prompts. The model is
  /// left in the mode, training or not, in which it was. Throws Diverged as train_epoch_ch8 does.
  TrainResult run(const TrainCallbacks& callbacks = {});

  /// Whether there is nothing left to train: all epochs are over, or patience is.
  bool is_finished() const;

  /// May be called from a callback too, except on_prediction. Within an epoch that carries a state
  /// it is put together of all ranks', so that each of them must call this after the same batch
  /// (Ranks::ask).
  TrainState state() const;

  /// How its batches are computed.
  Compute effective_compute() const;

  /// All epochs so far.
  const std::vector<EpochStats>& history() const { return history_; }
  /// The best of them.
  const Best& best() const { return best_; }

  /// Continues from `state`. The weights must be loaded separately. Throws Error if it does not fit
  /// the model, the optimiser or the data.
  void load_state(const TrainState& state);

 private:
  class ScheduledStep;

  Training(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab* vocab,
           TrainOptions options, torch::Tensor valid);
  // This rank's rows of an epoch.
  Epoch epoch(int64_t e) const;
  // The ranks begin an epoch alike, but for what they draw.
  void begin_together() const;
  // The states of all rows of a batch, from those of each rank's.
  State whole(const State& own) const;
  EpochStats run_epoch(TrainStep& plain_step, const TrainCallbacks& callbacks);
  void validate(EpochStats& stats);
  // The error for what was not finite, with the options that decide it.
  Diverged diverged(std::string_view what) const;
  bool is_out_of_patience() const;
  // What the training draws from on a device: the model's own generator or LibTorch's.
  at::Generator generator_on(torch::Device device) const;
  Ranks& ranks() const { return *options_.step.ranks; }

  SequenceModel& net_;
  const SeqDataLoader& train_iter_;
  const Vocab* vocab_;  // null for token ids
  TrainOptions options_;
  torch::Tensor valid_;
  std::unique_ptr<Updater> updater_;
  TrainProgress progress_;
  Best best_;
  std::vector<EpochStats> history_;
};

/// Trains for options.epochs epochs, like the notebook's `train_ch8`. Calls back instead of
/// printing. Throws as Training does, and Diverged when training diverges.
TrainResult train_ch8(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab& vocab,
                      const TrainOptions& options = {}, const TrainCallbacks& callbacks = {});

/// The same for sequences that are no text, as Training without a vocabulary.
///
///     train_ch8(*net, SeqDataLoader(series, {.num_steps = 20}), {.epochs = 50});
TrainResult train_ch8(SequenceModel& net, const SeqDataLoader& train_iter,
                      const TrainOptions& options = {}, const TrainCallbacks& callbacks = {});

}  // namespace unroll
#pragma GCC visibility pop

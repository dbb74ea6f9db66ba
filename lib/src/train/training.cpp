#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/fields.h"
#include "base/formatted.h"
#include "base/median.h"
#include "base/seeded.h"
#include "infer/vocab_fits.h"
#include "models/arguments.h"
#include "ranks/or_alone.h"
#include "train/progress.h"
#include "train/updater_state.h"
#include "unroll/error.h"
#include "unroll/evaluate.h"
#include "unroll/generate.h"
#include "unroll/notebook.h"
#include "unroll/train.h"

namespace unroll {
namespace {

// LibTorch looks at each of the two numbers by itself, but where they do not belong together it
// would read numbers from beyond its own.
bool is_possible(const at::mt19937_data_pod& state) {
  const auto next = static_cast<int64_t>(state.next_);
  const bool is_fresh = state.left_ == 1 && next == 0;
  return is_fresh || state.left_ + next == at::MERSENNE_STATE_N + 1;
}

void set_state(at::Generator generator, const torch::Tensor& state) {
  const auto device = generator.device();
  const std::lock_guard<std::mutex> lock(generator.mutex());
  const auto before = generator.get_state();
  bool is_set = false;
  try {
    generator.set_state(state);
    is_set = !device.is_cpu() ||
             is_possible(at::check_generator<at::CPUGeneratorImpl>(generator)->engine().data());
  } catch (const c10::Error&) {
    is_set = false;
  }
  if (!is_set) {
    generator.set_state(before);
    throw Error(formatted("the state of the generator on {} cannot be read", device.str()));
  }
}

}  // namespace

void check(const TrainOptions& options) {
  check_ranges(options);
  check(options.updater);
  check(options.schedule, options.updater.lr);
  for (const auto& prompt : options.prompts) {
    if (prompt.empty()) {
      throw UsageError("prompt must have at least one token, got ''");
    }
  }
}

double TrainResult::perplexity() const {
  return epochs.empty() ? std::numeric_limits<double>::quiet_NaN() : epochs.back().perplexity;
}

const EpochStats* TrainResult::last_validated() const {
  const auto last = std::find_if(epochs.rbegin(), epochs.rend(), [](const EpochStats& epoch) {
    return epoch.valid_perplexity.has_value();
  });
  return last == epochs.rend() ? nullptr : &*last;
}

std::optional<double> TrainResult::valid_perplexity() const {
  const auto* last = last_validated();
  return last == nullptr ? std::nullopt : last->valid_perplexity;
}

double TrainResult::tokens_per_second() const {
  std::vector<double> speeds(epochs.size());
  std::transform(epochs.begin(), epochs.end(), speeds.begin(),
                 [](const EpochStats& epoch) { return epoch.tokens_per_second; });
  return median(std::move(speeds));
}

// Sets each step's learning rate before it is taken.
class Training::ScheduledStep : public TrainStep {
 public:
  ScheduledStep(Training& training, TrainStep& step, int64_t batches)
      : training_(training), step_(step), batches_(batches) {}

  void run(const Batch& batch, bool reset_state) override {
    set_lr();
    step_.run(batch, reset_state);
  }
  void run_batch(const Epoch& epoch, int64_t k) override {
    set_lr();
    step_.run_batch(epoch, k);
  }

  void wait() override { step_.wait(); }

  // Of the k-th step of the running epoch.
  double lr(int64_t k) const {
    const auto& options = training_.options_;
    const auto batches = static_cast<double>(batches_);
    const double done =
        static_cast<double>(training_.progress_.epoch) + static_cast<double>(k) / batches;
    return learning_rate(options.schedule, options.updater.lr, done, 1 / batches, options.epochs,
                         training_.best_);
  }

 private:
  void set_lr() { training_.updater_->set_lr(lr(training_.progress_.batch)); }

  Training& training_;
  TrainStep& step_;
  int64_t batches_;
};

namespace {

// The mode, training or not, that a model is in again afterwards.
class ModeKept {
 public:
  explicit ModeKept(SequenceModel& net) : net_(net), was_training_(net.is_training()) {}
  ~ModeKept() { net_.train(was_training_); }
  ModeKept(const ModeKept&) = delete;
  ModeKept& operator=(const ModeKept&) = delete;

 private:
  SequenceModel& net_;
  bool was_training_;
};

}  // namespace

Training::Training(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab& vocab,
                   TrainOptions options, torch::Tensor valid)
    : Training(net, train_iter, &vocab, std::move(options), std::move(valid)) {}

Training::Training(SequenceModel& net, const SeqDataLoader& train_iter, TrainOptions options,
                   torch::Tensor valid)
    : Training(net, train_iter, nullptr, std::move(options), std::move(valid)) {}

Training::Training(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab* vocab,
                   TrainOptions options, torch::Tensor valid)
    : net_(net),
      train_iter_(train_iter),
      vocab_(vocab),
      options_(std::move(options)),
      valid_(std::move(valid)) {
  if (vocab_ == nullptr) {
    options_.prompts.clear();
  }
  options_.step.ranks = or_alone(options_.step.ranks);
  check(options_);
  if (options_.patience > 0 && !valid_.defined()) {
    throw UsageError(formatted("patience {} needs a validation text", options_.patience));
  }
  if (valid_.defined() && valid_.numel() < 2) {
    throw Error(
        formatted("the validation text must have at least 2 tokens, got {}", valid_.numel()));
  }
  if (vocab_ != nullptr) {
    check_vocab_fits(net_, *vocab_);
  }
  if (const auto first = epoch(0); first.has_corpus()) {
    check_corpus_fits(net_, first.corpus(), ranks());
  } else {
    checked_batch(first[0], net_.vocab_size(), net_.device());
  }
  if (valid_.defined()) {
    check_corpus_fits(net_, valid_, ranks());
  }
  updater_ = make_updater(net_, options_.updater);
}

Training::~Training() = default;

Epoch Training::epoch(int64_t e) const {
  return train_iter_.epoch(e).shard(ranks().rank(), ranks().world());
}

void Training::begin_together() const {
  if (ranks().world() == 1) {
    return;
  }
  for (const auto& weight : net_.weights()) {
    ranks().broadcast(weight.tensor);
  }
  if (ranks().rank() > 0) {
    auto random =
        seeded(train_iter_.options().seed, {progress_.epoch, ranks().rank(), progress_.batch});
    auto generator = generator_on(net_.device());
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_current_seed(random());
  }
}

State Training::whole(const State& own) const {
  const auto part = epoch(progress_.epoch);
  auto all = net_.begin_state(train_iter_.options().batch_size);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = torch::zeros_like(all[i], torch::MemoryFormat::Contiguous);
    all[i].narrow(-2, part.first_row(), part.rows()).copy_(own.at(i));
    ranks().all_reduce(all[i]);
  }
  return all;
}

EpochStats Training::run_epoch(TrainStep& plain_step, const TrainCallbacks& callbacks) {
  begin_together();
  const auto epoch = this->epoch(progress_.epoch);
  ScheduledStep step(*this, plain_step, epoch.size());
  net_.train(true);
  const double last_lr = step.lr(epoch.size() - 1);
  try {
    auto stats = train_epoch_ch8(epoch, step, progress_, callbacks);
    stats.lr = last_lr;
    return stats;
  } catch (const Diverged& error) {
    throw diverged(error.what());
  }
}

Diverged Training::diverged(std::string_view what) const {
  const double clip = options_.step.clip;
  return Diverged(formatted("{}; at lr {:.3g} and clip {:.3g}: try a smaller lr{}", what,
                            options_.updater.lr, clip, clip == 0 ? ", or clip 1" : " or clip"));
}

void Training::validate(EpochStats& stats) {
  if (!valid_.defined()) {
    best_.update(stats.epoch, stats.perplexity, options_.schedule);
    return;
  }
  if (stats.epoch % options_.valid_every != 0) {
    return;
  }
  Evaluation result;
  try {
    result = evaluate(net_, valid_, {.ranks = options_.step.ranks});
  } catch (const RankLost&) {
    throw;
  } catch (const Error& error) {
    throw diverged(formatted("validation after epoch {}: {}", stats.epoch, error.what()));
  }
  stats.valid_perplexity = result.perplexity();
  if (vocab_ != nullptr && result.unknown > 0) {
    stats.valid_known_perplexity = result.known_perplexity();
  }
  best_.update(stats.epoch, *stats.valid_perplexity, options_.schedule);
}

bool Training::is_out_of_patience() const {
  return options_.patience > 0 && best_.waiting >= options_.patience;
}

Compute Training::effective_compute() const { return net_.effective_compute(epoch(0).rows()); }

bool Training::is_finished() const {
  return progress_.epoch >= options_.epochs || is_out_of_patience();
}

TrainResult Training::run(const TrainCallbacks& callbacks) {
  const Timer timer;
  const ModeKept mode(net_);
  // As predict_ch8, but `<unk>` is not predicted, which is no text.
  const auto continued = [&](const std::string& prompt, int64_t tokens) {
    return generate({prompt}, tokens, net_, *vocab_, {}).front();
  };
  for (const auto& prompt : options_.prompts) {
    continued(prompt, 0);  // throws now rather than after the last epoch
  }
  const auto graph = effective_compute().graph;
  const auto step = make_train_step(net_, *updater_, progress_, options_.step, graph,
                                    callbacks.on_graph_fallback);
  while (!is_finished()) {
    history_.push_back(run_epoch(*step, callbacks));
    validate(history_.back());
    const auto stats = history_.back();
    if (callbacks.on_epoch) {
      callbacks.on_epoch(stats);
    }
    if (callbacks.on_prediction && !options_.prompts.empty() && options_.every > 0 &&
        stats.epoch % options_.every == 0) {
      callbacks.on_prediction(stats, continued(options_.prompts.front(), options_.predict));
    }
    if (callbacks.on_epoch_end) {
      callbacks.on_epoch_end(stats);
    }
  }
  TrainResult result{.epochs = history_,
                     .predictions = {},
                     .seconds = 0,
                     .best = best_,
                     .stopped_early = progress_.epoch < options_.epochs};
  for (const auto& prompt : options_.prompts) {
    result.predictions.push_back(continued(prompt, options_.predict));
  }
  result.seconds = timer.stop();
  return result;
}

at::Generator Training::generator_on(torch::Device device) const {
  const auto own = effective_compute().generator;
  return own && own->device().type() == device.type()
             ? *own
             : at::globalContext().defaultGenerator(device);
}

TrainState Training::state() const {
  auto progress = progress_;
  if (ranks().world() > 1) {
    // An epoch begins with new states.
    progress.carry = progress.batch > 0 && epoch(progress.epoch).carries_state()
                         ? whole(progress.carry)
                         : State();
  }
  return {.progress = progress,
          .updater = updater_->state(),
          .best = best_,
          .history = history_,
          .cpu_generator = generator_on(torch::kCPU).get_state(),
          .cuda_generator =
              net_.device().is_cuda() ? generator_on(net_.device()).get_state() : torch::Tensor()};
}

void Training::load_state(const TrainState& state) {
  const auto& from = state.progress;
  const int64_t batches = train_iter_.epoch(from.epoch).size();
  if (from.epoch < 0 || from.batch < 0 || from.batch > batches ||
      state.history.size() != static_cast<std::size_t>(from.epoch)) {
    throw Error(formatted(
        "the training state does not fit: {} epochs with {} in its history, batch {} of {}",
        from.epoch, state.history.size(), from.batch, batches));
  }
  TrainProgress progress{.epoch = from.epoch, .batch = from.batch, .sums = {}, .carry = {}};
  const bool carries = train_iter_.epoch(0).carries_state();
  if (from.batch > 0) {
    const auto zeros = zero_sums(net_.device());
    const auto& data = train_iter_.options();
    if (from.sums.steps != from.batch ||
        from.sums.tokens != from.batch * data.batch_size * data.num_steps) {
      throw Error(
          formatted("the training state does not fit: {} batches with {} steps and {} tokens",
                    from.batch, from.sums.steps, from.sums.tokens));
    }
    progress.sums = {
        .loss = copy_fitting(from.sums.loss, zeros.loss, "the sum of losses"),
        .grad_norm = copy_fitting(from.sums.grad_norm, zeros.grad_norm, "the sum of norms"),
        .nonfinite = copy_fitting(from.sums.nonfinite, zeros.nonfinite, "the skipped steps"),
        .tokens = from.sums.tokens,
        .steps = from.sums.steps,
        .seconds = from.sums.seconds};
    const auto skipped = progress.sums.nonfinite.item<int64_t>();
    if (skipped < 0 || skipped > progress.sums.steps) {
      throw Error(formatted("the training state does not fit: {} of {} steps skipped", skipped,
                            progress.sums.steps));
    }
    if (carries) {
      const auto begin = net_.begin_state(train_iter_.options().batch_size);
      if (from.carry.size() != begin.size()) {
        throw Error(
            formatted("the model carries {} states, got {}", begin.size(), from.carry.size()));
      }
      const auto own = epoch(from.epoch);
      for (std::size_t i = 0; i < begin.size(); ++i) {
        const auto all = copy_fitting(from.carry[i], begin[i], "a carried state");
        progress.carry.push_back(all.narrow(-2, own.first_row(), own.rows()).contiguous());
      }
    }
  }
  updater_->load_state(state.updater);
  set_state(generator_on(torch::kCPU), state.cpu_generator);
  if (net_.device().is_cuda() && state.cuda_generator.defined()) {
    set_state(generator_on(net_.device()), state.cuda_generator);
  }
  progress_ = std::move(progress);
  best_ = state.best;
  history_ = state.history;
}

TrainResult train_ch8(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab& vocab,
                      const TrainOptions& options, const TrainCallbacks& callbacks) {
  return Training(net, train_iter, vocab, options).run(callbacks);
}

TrainResult train_ch8(SequenceModel& net, const SeqDataLoader& train_iter,
                      const TrainOptions& options, const TrainCallbacks& callbacks) {
  return Training(net, train_iter, options).run(callbacks);
}

}  // namespace unroll

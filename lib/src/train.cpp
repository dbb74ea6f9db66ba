#include "unroll/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "median.h"
#include "unroll/error.h"
#include "unroll/predict.h"
#include "unroll/timer.h"

namespace unroll {
namespace {

// Sums of no batch, unless there are some already.
void begin_sums(Sums& sums, torch::Device device) {
  if (!sums.loss.defined()) {
    const auto options = torch::TensorOptions().device(device);
    sums = {.loss = torch::zeros({}, options.dtype(torch::kFloat64)),
            .grad_norm = torch::zeros({}, options.dtype(torch::kFloat64)),
            .nonfinite = torch::zeros({}, options.dtype(torch::kInt64))};
  }
}

// sum += factor * value, both scalars on one device. On a CPU there is nothing to wait for, and a
// tensor's operation costs more than the addition.
void add_to(torch::Tensor& sum, const torch::Tensor& value, double factor = 1) {
  if (sum.is_cpu()) {
    *sum.mutable_data_ptr<double>() += factor * value.item<double>();
  } else {
    sum.add_(value, factor);
  }
}

// Zeroes all gradients when `nonfinite` (a scalar bool on their device) is true; waits for nothing.
void mask_gradients(const std::vector<torch::Tensor>& params, const torch::Tensor& nonfinite) {
  for (const auto& p : params) {
    if (p.grad().defined()) {
      p.grad().masked_fill_(nonfinite, 0);
    }
  }
}

}  // namespace

EagerStep::EagerStep(SequenceModel& net, Updater& updater, double clip, TrainProgress& progress)
    : net_(net),
      updater_(updater),
      clip_(clip),
      progress_(progress),
      params_(values(net.weights())) {}

void EagerStep::run(const Batch& batch, bool reset_state) {
  Timer timer;
  const auto lap = [&](double& seconds) {
    seconds += timer.stop();
    timer.start();
  };
  const auto& state = reset_state ? net_.begin_state(batch.X.size(0)) : progress_.carry;
  auto [loss, new_state] = net_.loss(batch, state);
  lap(seconds_.forward);
  updater_.zero_grad();
  loss.backward();
  lap(seconds_.backward);

  const torch::NoGradGuard no_grad;
  auto& sums = progress_.sums;
  begin_sums(sums, batch.X.device());
  const auto norm = grad_clipping(params_, clip_);
  // On a CPU there is nothing to wait for, and a tensor's operation costs more than the question.
  const bool known_finite = norm.is_cpu() && std::isfinite(norm.item<double>());
  if (!known_finite) {
    const auto nonfinite = torch::isfinite(norm).logical_not();
    mask_gradients(params_, nonfinite);
    sums.nonfinite.add_(nonfinite);
  }
  updater_.step();

  const int64_t tokens = batch.Y.numel();
  add_to(sums.loss, loss.detach(), static_cast<double>(tokens));
  add_to(sums.grad_norm, norm);
  sums.tokens += tokens;
  ++sums.steps;
  progress_.carry = detach(new_state);
  lap(seconds_.update);
}

void check(const TrainOptions& options) {
  const auto require = [](bool holds, std::string_view what, auto value) {
    if (!holds) {
      throw UsageError(fmt::format("{}, got {}", what, value));
    }
  };
  require(options.epochs >= 1, "epochs must be >= 1", options.epochs);
  require(std::isfinite(options.lr) && options.lr > 0, "lr must be > 0", options.lr);
  require(std::isfinite(options.clip) && options.clip >= 0, "clip must be >= 0 (0 is off)",
          options.clip);
  require(options.every >= 0, "every must be >= 0 (0 is never)", options.every);
  require(options.predict >= 0, "predict must be >= 0", options.predict);
  for (const auto& prompt : options.prompts) {
    require(!prompt.empty(), "prompt must have at least one token", "''");
  }
}

double TrainResult::perplexity() const { return epochs.empty() ? 0 : epochs.back().perplexity; }

double TrainResult::tokens_per_second() const {
  std::vector<double> speeds(epochs.size());
  std::transform(epochs.begin(), epochs.end(), speeds.begin(),
                 [](const EpochStats& epoch) { return epoch.tokens_per_second; });
  return median(std::move(speeds));
}

EpochStats train_epoch_ch8(const Epoch& train_iter, TrainStep& step, TrainProgress& progress,
                           const TrainCallbacks& callbacks) {
  const Timer timer;
  const int64_t tokens_before = progress.sums.tokens;
  for (int64_t k = progress.batch; k < train_iter.size(); ++k) {
    const auto batch = train_iter[k];
    begin_sums(progress.sums, batch.X.device());
    step.run(batch, k == 0 || !train_iter.carries_state());
    progress.batch = k + 1;
    if (callbacks.on_batch) {
      callbacks.on_batch(progress, train_iter.size());
    }
  }

  const auto sums = std::exchange(progress.sums, {});
  progress.batch = 0;
  ++progress.epoch;
  if (sums.steps == 0) {
    throw Error(fmt::format("epoch {} has no batch", progress.epoch));
  }
  const auto nonfinite = sums.nonfinite.item<int64_t>();
  const double seconds = timer.stop();
  const double perplexity = std::exp(sums.loss.item<double>() / static_cast<double>(sums.tokens));
  if (nonfinite > 0 || !std::isfinite(perplexity)) {
    throw Error(fmt::format(
        "training diverged in epoch {}: the gradient was not finite in {} of {} steps, "
        "perplexity {:.3g}; try a smaller learning rate or a bound on the gradient norm",
        progress.epoch, nonfinite, sums.steps, perplexity));
  }
  const auto trained = static_cast<double>(sums.tokens - tokens_before);
  return {.epoch = progress.epoch,
          .perplexity = perplexity,
          .tokens_per_second = trained / seconds,
          .grad_norm = sums.grad_norm.item<double>() / static_cast<double>(sums.steps),
          .seconds = seconds};
}

TrainResult train_ch8(SequenceModel& net, const SeqDataLoader& train_iter, const Vocab& vocab,
                      const TrainOptions& options, const TrainCallbacks& callbacks) {
  check(options);
  const Timer timer;
  const auto updater = make_updater(net, options.optimizer, options.lr);
  TrainProgress progress;
  EagerStep step(net, *updater, options.clip, progress);

  TrainResult result;
  for (const auto& prompt : options.prompts) {
    predict_ch8(prompt, 0, net, vocab);  // throws now rather than after the last epoch
  }
  for (int64_t e = 0; e < options.epochs; ++e) {
    const auto stats = train_epoch_ch8(train_iter.epoch(e), step, progress, callbacks);
    result.epochs.push_back(stats);
    if (callbacks.on_epoch) {
      callbacks.on_epoch(stats);
    }
    if (callbacks.on_prediction && !options.prompts.empty() && options.every > 0 &&
        stats.epoch % options.every == 0) {
      callbacks.on_prediction(stats,
                              predict_ch8(options.prompts.front(), options.predict, net, vocab));
    }
  }
  for (const auto& prompt : options.prompts) {
    result.predictions.push_back(predict_ch8(prompt, options.predict, net, vocab));
  }
  result.seconds = timer.stop();
  return result;
}

}  // namespace unroll

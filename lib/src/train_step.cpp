#include "unroll/train_step.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include "parse_enum.h"
#include "unroll/timer.h"

namespace unroll {
namespace {

// On a CPU a tensor's operation costs more than the addition.
void add_to(torch::Tensor& sum, double value) {
  if (sum.is_cpu()) {
    *sum.mutable_data_ptr<double>() += value;
  } else {
    sum.add_(value);
  }
}

}  // namespace

Sums zero_sums(torch::Device device) {
  const auto options = torch::TensorOptions().device(device);
  return {.loss = torch::zeros({}, options.dtype(torch::kFloat64)),
          .grad_norm = torch::zeros({}, options.dtype(torch::kFloat64)),
          .nonfinite = torch::zeros({}, options.dtype(torch::kInt64))};
}

std::string_view to_string(OnNonfinite on_nonfinite) {
  return on_nonfinite == OnNonfinite::kStop ? "stop" : "skip";
}

OnNonfinite parse_on_nonfinite(std::string_view name) {
  return parse_enum("on-nonfinite", name, std::array{OnNonfinite::kStop, OnNonfinite::kSkip});
}

EagerStep::EagerStep(SequenceModel& net, Updater& updater, double clip, TrainProgress& progress,
                     OnNonfinite on_nonfinite)
    : net_(net),
      updater_(updater),
      clip_(clip),
      progress_(progress),
      on_nonfinite_(on_nonfinite),
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
  const auto norm = grad_clipping(params_, clip_);
  // On a CPU there is nothing to wait for, and a tensor's operation costs more than the question.
  if (norm.is_cpu() || on_nonfinite_ == OnNonfinite::kSkip) {
    finish(batch, loss, norm, new_state);
  } else {
    finish_without_waiting(batch, loss, norm, new_state);
  }
  lap(seconds_.update);
}

void EagerStep::finish(const Batch& batch, const torch::Tensor& loss, const torch::Tensor& norm,
                       const State& new_state) {
  const auto loss_value = loss.item<double>();
  const auto norm_value = norm.item<double>();
  const bool finite = std::isfinite(loss_value) && std::isfinite(norm_value);
  if (!finite && on_nonfinite_ == OnNonfinite::kStop) {
    throw Diverged(fmt::format(
        "training diverged in epoch {}, batch {}: loss {:.3g}, gradient norm {:.3g}; try a smaller "
        "learning rate or a bound on the gradient norm",
        progress_.epoch + 1, progress_.batch + 1, std::abs(loss_value), std::abs(norm_value)));
  }
  auto& sums = sums_on(batch.X.device());
  const int64_t tokens = batch.Y.numel();
  sums.tokens += tokens;
  ++sums.steps;
  if (!finite) {
    sums.nonfinite.add_(1);
    progress_.carry = net_.begin_state(batch.X.size(0));
    return;
  }
  updater_.step();
  add_to(sums.loss, static_cast<double>(tokens) * loss_value);
  add_to(sums.grad_norm, norm_value);
  progress_.carry = detach(new_state);
}

void EagerStep::finish_without_waiting(const Batch& batch, const torch::Tensor& loss,
                                       const torch::Tensor& norm, const State& new_state) {
  const auto nonfinite = torch::isfinite(norm + loss.detach()).logical_not();
  for (const auto& p : params_) {
    if (p.grad().defined()) {
      p.grad().masked_fill_(nonfinite, 0);
    }
  }
  updater_.step();
  auto& sums = sums_on(batch.X.device());
  const int64_t tokens = batch.Y.numel();
  sums.tokens += tokens;
  ++sums.steps;
  sums.nonfinite.add_(nonfinite);
  // So that the epoch's perplexity tells.
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  sums.loss.add_(loss.detach().masked_fill(nonfinite, kNan), static_cast<double>(tokens));
  sums.grad_norm.add_(norm);
  progress_.carry = detach(new_state);
}

Sums& EagerStep::sums_on(torch::Device device) {
  if (!progress_.sums.loss.defined()) {
    progress_.sums = zero_sums(device);
  }
  return progress_.sums;
}

}  // namespace unroll

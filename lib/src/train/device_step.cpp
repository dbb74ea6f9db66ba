#include "train/device_step.h"

#include <limits>
#include <utility>

#include "ranks/or_alone.h"
#include "train/device_gradient_sum.h"
#include "train/gradients.h"
#include "train/host_gradient_sum.h"
#include "train/progress.h"

namespace unroll {
namespace {

std::unique_ptr<GradientSum> make_gradient_sum(std::unique_ptr<DeviceSum> device_sum,
                                               const std::shared_ptr<Ranks>& ranks,
                                               const std::vector<torch::Tensor>& params) {
  if (device_sum) {
    return std::make_unique<DeviceGradientSum>(std::move(device_sum), or_alone(ranks), params);
  }
  return std::make_unique<HostGradientSum>(ranks, params);
}

}  // namespace

DeviceWork::DeviceWork(SequenceModel& net, Updater& updater, const StepOptions& options,
                       std::unique_ptr<DeviceSum> device_sum)
    : net_(net),
      updater_(updater),
      own_updater_(dynamic_cast<DeviceUpdater*>(&updater)),
      options_(options),
      params_(values(trained_weights(net))),
      gradient_sum_(make_gradient_sum(std::move(device_sum), options.ranks, params_)),
      one_(torch::ones({}, torch::TensorOptions().device(net.device()))) {}

int64_t DeviceWork::run(const Batch& batch, const State& state, const Sums& sums,
                        const State& carry) {
  auto [loss, after] = loss_of(net_, batch, state, options_, gradient_sum_->on_gradient());
  gradient_sum_->begin(loss, batch.Y);
  updater_.zero_grad();
  const bool is_here = loss.scalar_type() == one_.scalar_type() && loss.device() == one_.device();
  loss.backward(is_here ? one_ : torch::Tensor());

  const torch::NoGradGuard no_grad;
  const auto whole = gradient_sum_->finish();
  const bool stops = options_.on_nonfinite == OnNonfinite::kStop;
  const StepEnd end{.loss = whole.loss,
                    .tokens = static_cast<double>(whole.tokens),
                    .clip = options_.clip,
                    .stops = stops,
                    .sums = sums,
                    .after = detach(after),
                    .begin = stops ? State() : net_.begin_state(batch.X.size(0)),
                    .carry = carry};
  if (own_updater_ == nullptr || !own_updater_->finish(end)) {
    finish(end);
  }
  return whole.tokens;
}

void DeviceWork::finish(const StepEnd& end) {
  const auto norm = clip_on_device(gradients(params_), end.clip);
  auto nonfinite = torch::isfinite(norm + end.loss).logical_not();
  auto skip = nonfinite;
  if (end.stops) {
    const auto is_over = end.sums.nonfinite > 0;
    skip = nonfinite.logical_or(is_over);
    nonfinite = nonfinite.logical_and(is_over.logical_not());
  }
  updater_.step_unless(skip.to(torch::kFloat32));
  const double of_skipped = end.stops ? std::numeric_limits<double>::quiet_NaN() : 0;
  end.sums.loss.add_(end.loss.masked_fill(skip, of_skipped), end.tokens);
  end.sums.grad_norm.add_(norm.masked_fill(skip, of_skipped));
  end.sums.nonfinite.add_(nonfinite);
  for (std::size_t i = 0; i < end.carry.size(); ++i) {
    end.carry[i].copy_(end.begin.empty() ? end.after[i]
                                         : torch::where(skip, end.begin[i], end.after[i]));
  }
}

void DeviceStep::run(const Batch& batch, bool reset_state) {
  wait();  // before a model that asks for values does
  const auto state = reset_state ? work_.model().begin_state(batch.X.size(0)) : progress_.carry;
  auto& sums = begin_sums(progress_, batch.X.device());
  auto carry = empty_like(state);
  work_.gradient_sum().before_step(batch.Y.numel());
  sums.tokens += work_.run(batch, state, sums, carry);
  work_.gradient_sum().after_step();
  progress_.carry = std::move(carry);
  ++sums.steps;
}

void DeviceStep::run_batch(const Epoch& epoch, int64_t k) {
  wait();  // before whoever makes the batch does
  TrainStep::run_batch(epoch, k);
}

}  // namespace unroll

#include "train/host_step.h"

#include <cmath>

#include "base/formatted.h"
#include "train/gradients.h"
#include "train/progress.h"
#include "unroll/notebook.h"

namespace unroll {
namespace {

// A tensor's operation costs more than the addition.
void add_to(torch::Tensor& sum, double value) { *sum.mutable_data_ptr<double>() += value; }

}  // namespace

HostStep::HostStep(SequenceModel& net, Updater& updater, TrainProgress& progress,
                   const StepOptions& options)
    : net_(net),
      updater_(updater),
      progress_(progress),
      options_(options),
      params_(values(trained_weights(net))),
      gradient_sum_(options.ranks, params_) {}

void HostStep::run(const Batch& batch, bool reset_state) {
  Timer timer;
  const auto lap = [&](double& seconds) {
    seconds += timer.stop();
    timer.start();
  };
  const auto& state = reset_state ? net_.begin_state(batch.X.size(0)) : progress_.carry;
  auto [loss, new_state] = loss_of(net_, batch, state, options_, gradient_sum_.on_gradient());
  gradient_sum_.begin(loss, batch.Y);
  lap(seconds_.forward);
  updater_.zero_grad();
  loss.backward();
  lap(seconds_.backward);

  const torch::NoGradGuard no_grad;
  const auto whole = gradient_sum_.finish();
  lap(seconds_.exchange);
  const auto norm = grad_clipping(params_, options_.clip);
  finish(batch, whole, norm, new_state);
  lap(seconds_.update);
}

void HostStep::finish(const Batch& batch, const WholeBatch& whole, const torch::Tensor& norm,
                      const State& new_state) {
  const auto loss_value = whole.loss.item<double>();
  const auto norm_value = norm.item<double>();
  const bool finite = std::isfinite(loss_value) && std::isfinite(norm_value);
  if (!finite && options_.on_nonfinite == OnNonfinite::kStop) {
    throw Diverged(formatted(
        "training diverged in epoch {}, batch {}: loss {:.3g}, gradient norm {:.3g}",
        progress_.epoch + 1, progress_.batch + 1, std::abs(loss_value), std::abs(norm_value)));
  }
  auto& sums = begin_sums(progress_, batch.X.device());
  sums.tokens += whole.tokens;
  ++sums.steps;
  if (!finite) {
    sums.nonfinite.add_(1);
    progress_.carry = net_.begin_state(batch.X.size(0));
    return;
  }
  updater_.step();
  add_to(sums.loss, static_cast<double>(whole.tokens) * loss_value);
  add_to(sums.grad_norm, norm_value);
  progress_.carry = detach(new_state);
}

}  // namespace unroll

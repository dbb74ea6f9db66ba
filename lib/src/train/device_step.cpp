#include "train/device_step.h"

#include <limits>

#include "train/gradients.h"
#include "train/progress.h"

namespace unroll {

DeviceWork::DeviceWork(SequenceModel& net, Updater& updater, const StepOptions& options)
    : net_(net), updater_(updater), options_(options), params_(values(trained_weights(net))) {}

State DeviceWork::run(const Batch& batch, const State& state, const Sums& sums) {
  auto [loss_with_graph, new_state] = loss_of(net_, batch, state, options_);
  updater_.zero_grad();
  loss_with_graph.backward();

  const torch::NoGradGuard no_grad;
  const auto loss = loss_with_graph.detach();
  const auto norm = clip_on_device(gradients(params_), options_.clip);
  const auto nonfinite = torch::isfinite(norm + loss).logical_not();
  updater_.step_unless(nonfinite.to(torch::kFloat32));

  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const double of_nonfinite = options_.on_nonfinite == OnNonfinite::kStop ? kNan : 0;
  const auto tokens = static_cast<double>(batch.Y.numel());
  sums.loss.add_(loss.masked_fill(nonfinite, of_nonfinite), tokens);
  sums.grad_norm.add_(norm.masked_fill(nonfinite, of_nonfinite));
  sums.nonfinite.add_(nonfinite);
  State carry = detach(new_state);
  const auto begin = net_.begin_state(batch.X.size(0));
  for (std::size_t i = 0; i < carry.size(); ++i) {
    carry[i] = torch::where(nonfinite, begin[i], carry[i]);
  }
  return carry;
}

void DeviceStep::run(const Batch& batch, bool reset_state) {
  const auto state = reset_state ? work_.model().begin_state(batch.X.size(0)) : progress_.carry;
  auto& sums = begin_sums(progress_, batch.X.device());
  progress_.carry = work_.run(batch, state, sums);
  sums.tokens += batch.Y.numel();
  ++sums.steps;
}

}  // namespace unroll

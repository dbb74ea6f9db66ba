#include "train/device_step.h"

#include <limits>
#include <utility>

#include "train/clip_on_device.h"

namespace unroll {

DeviceStep::DeviceStep(SequenceModel& net, Updater& updater, double clip, OnNonfinite on_nonfinite)
    : net_(net),
      updater_(updater),
      clip_(clip),
      on_nonfinite_(on_nonfinite),
      params_(values(net.weights())) {}

State DeviceStep::run(const Batch& batch, const State& state, const Sums& sums) {
  auto [loss_with_graph, new_state] = net_.loss(batch, state);
  updater_.zero_grad();
  loss_with_graph.backward();

  const torch::NoGradGuard no_grad;
  const auto loss = loss_with_graph.detach();
  const auto norm = clip_on_device(gradients(params_), clip_);
  const auto nonfinite = torch::isfinite(norm + loss).logical_not();
  updater_.step_unless(nonfinite.to(torch::kFloat32));

  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const double of_nonfinite = on_nonfinite_ == OnNonfinite::kStop ? kNan : 0;
  const auto tokens = static_cast<double>(batch.Y.numel());
  sums.loss.add_(loss.masked_fill(nonfinite, of_nonfinite), tokens);
  sums.grad_norm.add_(norm.masked_fill(nonfinite, of_nonfinite));
  sums.nonfinite.add_(nonfinite);
  State carry = detach(new_state);
  for (auto& s : carry) {
    s = s.masked_fill(nonfinite, 0);
  }
  return carry;
}

}  // namespace unroll

#include <array>
#include <cmath>
#include <utility>

#include "base/formatted.h"
#include "base/parse_enum.h"
#include "cuda_part/cuda_part.h"
#include "train/device_step.h"
#include "train/graph_step.h"
#include "unroll/notebook.h"
#include "unroll/train.h"

namespace unroll {
namespace {

// A tensor's operation costs more than the addition.
void add_to(torch::Tensor& sum, double value) { *sum.mutable_data_ptr<double>() += value; }

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

std::string_view to_string(GraphMode mode) {
  switch (mode) {
    case GraphMode::kOn:
      return "on";
    case GraphMode::kOff:
      return "off";
    case GraphMode::kAuto:
      break;
  }
  return "auto";
}

GraphMode parse_graph_mode(std::string_view name) {
  return parse_enum("graph", name, std::array{GraphMode::kAuto, GraphMode::kOn, GraphMode::kOff});
}

std::unique_ptr<TrainStep> make_train_step(SequenceModel& net, Updater& updater,
                                           TrainProgress& progress, const StepOptions& options,
                                           FallbackCallback on_fallback) {
  const auto eager = [&] {
    return std::make_unique<EagerStep>(net, updater, options.clip, progress, options.on_nonfinite);
  };
  if (options.graph != GraphMode::kOn) {
    return eager();
  }
  require_graph(options.graph, net.device());
  const auto& cuda = cuda_part();
  if (!cuda.part) {
    if (on_fallback) {
      on_fallback(cuda.problem);
    }
    return eager();
  }
  return std::make_unique<GraphStep>(
      std::make_unique<DeviceStep>(net, updater, options.clip, options.on_nonfinite), progress,
      cuda.part->make_graph(net.device()), std::move(on_fallback));
}

void require_graph(GraphMode mode, torch::Device device) {
  if (mode == GraphMode::kOn && !device.is_cuda()) {
    throw Error(formatted("graph on needs a CUDA device, got device {}", device.str()));
  }
}

EagerStep::EagerStep(SequenceModel& net, Updater& updater, double clip, TrainProgress& progress,
                     OnNonfinite on_nonfinite)
    : net_(net),
      updater_(updater),
      clip_(clip),
      progress_(progress),
      on_nonfinite_(on_nonfinite),
      params_(values(net.weights())) {
  if (!net.device().is_cpu()) {
    on_device_ = std::make_unique<DeviceStep>(net, updater, clip, on_nonfinite);
  }
}

EagerStep::~EagerStep() = default;

void EagerStep::run(const Batch& batch, bool reset_state) {
  Timer timer;
  const auto lap = [&](double& seconds) {
    seconds += timer.stop();
    timer.start();
  };
  const auto& state = reset_state ? net_.begin_state(batch.X.size(0)) : progress_.carry;
  if (on_device_) {
    auto& sums = sums_on(batch.X.device());
    progress_.carry = on_device_->run(batch, state, sums);
    sums.tokens += batch.Y.numel();
    ++sums.steps;
    return;
  }
  auto [loss, new_state] = net_.loss(batch, state);
  lap(seconds_.forward);
  updater_.zero_grad();
  loss.backward();
  lap(seconds_.backward);

  const torch::NoGradGuard no_grad;
  const auto norm = grad_clipping(params_, clip_);
  finish(batch, loss, norm, new_state);
  lap(seconds_.update);
}

void EagerStep::finish(const Batch& batch, const torch::Tensor& loss, const torch::Tensor& norm,
                       const State& new_state) {
  const auto loss_value = loss.item<double>();
  const auto norm_value = norm.item<double>();
  const bool finite = std::isfinite(loss_value) && std::isfinite(norm_value);
  if (!finite && on_nonfinite_ == OnNonfinite::kStop) {
    throw Diverged(formatted(
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

Sums& EagerStep::sums_on(torch::Device device) {
  if (!progress_.sums.loss.defined()) {
    progress_.sums = zero_sums(device);
  }
  return progress_.sums;
}

}  // namespace unroll

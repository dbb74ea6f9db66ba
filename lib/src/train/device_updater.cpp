#include "train/device_updater.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>

#include <tuple>
#include <utility>

#include "base/formatted.h"
#include "train/gradients.h"
#include "train/updater_state.h"
#include "unroll/error.h"

namespace unroll {
namespace {

cuda::UpdateRule rule_of(Optimizer optimizer) {
  switch (optimizer) {
    case Optimizer::kAdam:
      return cuda::UpdateRule::kAdam;
    case Optimizer::kAdamW:
      return cuda::UpdateRule::kAdamW;
    case Optimizer::kSgd:
      break;
  }
  return cuda::UpdateRule::kSgd;
}

double default_weight_decay(Optimizer optimizer) {
  return optimizer == Optimizer::kAdamW ? torch::optim::AdamWOptions().weight_decay() : 0;
}

}  // namespace

DeviceUpdater::DeviceUpdater(NamedTensors weights, const UpdaterOptions& options,
                             const CudaKernels* kernels)
    : weights_(std::move(weights)),
      options_(options),
      weight_decay_(options.weight_decay.value_or(default_weight_decay(options.optimizer))) {
  check(options);
  if (kernels != nullptr) {
    kernels_.emplace(*kernels, weights_.front().tensor.device(), weights_.size());
  }
  const auto scalar = torch::dtype(torch::kFloat32).device(weights_.front().tensor.device());
  lr_ = torch::full({}, options.lr, scalar);
  never_ = torch::zeros({}, scalar);
  const torch::NoGradGuard no_grad;
  for (const auto& [name, weight] : weights_) {
    if (is_adam()) {
      steps_.push_back(torch::zeros({}, scalar));
      exp_avgs_.push_back(torch::zeros_like(weight));
      exp_avg_sqs_.push_back(torch::zeros_like(weight));
    } else if (options_.momentum > 0) {
      momenta_.push_back(torch::zeros_like(weight));
    }
  }
}

void DeviceUpdater::zero_grad() {
  for (auto& [name, weight] : weights_) {
    weight.mutable_grad().reset();
  }
}

void DeviceUpdater::step() { step_unless(never_); }

void DeviceUpdater::step_unless(const torch::Tensor& skip) {
  const torch::NoGradGuard no_grad;
  is_adam() ? adam(skip) : descend(skip);
}

bool DeviceUpdater::finish(const StepEnd& end) {
  if (!kernels_) {
    return false;
  }
  std::vector<UpdatedWeight> trained;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const auto& weight = weights_[i].tensor;
    const auto of = [&](const std::vector<torch::Tensor>& all) {
      return all.empty() ? torch::Tensor() : all[i];
    };
    if (weight.grad().defined()) {
      trained.push_back({.weight = weight,
                         .gradient = weight.grad(),
                         .mean = is_adam() ? of(exp_avgs_) : of(momenta_),
                         .square = of(exp_avg_sqs_),
                         .steps = of(steps_)});
    }
  }
  const torch::optim::AdamOptions defaults;  // AdamW's are the same
  const auto [beta1, beta2] = defaults.betas();
  const UpdateNumbers numbers{.rule = rule_of(options_.optimizer),
                              .lr = lr_,
                              .weight_decay = weight_decay_,
                              .momentum = options_.momentum,
                              .beta1 = beta1,
                              .beta2 = beta2,
                              .epsilon = defaults.eps()};
  if (!kernels_->serve(end, trained, numbers.rule)) {
    return false;
  }
  kernels_->run(end, trained, numbers);
  return true;
}

std::vector<torch::Tensor> DeviceUpdater::of_trained(
    const std::vector<torch::Tensor>& of_weights) const {
  std::vector<torch::Tensor> chosen;
  for (std::size_t i = 0; i < of_weights.size(); ++i) {
    if (weights_[i].tensor.grad().defined()) {
      chosen.push_back(of_weights[i]);
    }
  }
  return chosen;
}

void DeviceUpdater::descend(const torch::Tensor& skip) {
  const auto params = of_trained(values(weights_));
  const auto grads = gradients(params);
  const auto momenta = of_trained(momenta_);
  // Momentum begins with zeros, so that the first step is like any other.
  at::_fused_sgd_(params, grads, momenta, weight_decay_, options_.momentum, lr_, /*dampening=*/0,
                  /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false,
                  /*grad_scale=*/{}, skip);
}

void DeviceUpdater::adam(const torch::Tensor& skip) {
  const auto params = of_trained(values(weights_));
  const auto grads = gradients(params);
  const auto exp_avgs = of_trained(exp_avgs_);
  const auto exp_avg_sqs = of_trained(exp_avg_sqs_);
  const auto steps = of_trained(steps_);
  at::_foreach_add_(steps, 1 - skip);
  const torch::optim::AdamOptions defaults;  // AdamW's are the same
  const auto betas = defaults.betas();
  const auto call = [&](const auto& update) {
    update(params, grads, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/at::TensorList{}, steps, lr_,
           std::get<0>(betas), std::get<1>(betas), weight_decay_, defaults.eps(), /*amsgrad=*/false,
           /*maximize=*/false,
           /*grad_scale=*/std::optional<at::Tensor>(), std::optional<at::Tensor>(skip));
  };
  if (options_.optimizer == Optimizer::kAdam) {
    call([](auto&&... arguments) { at::_fused_adam_(arguments...); });
  } else {
    call([](auto&&... arguments) { at::_fused_adamw_(arguments...); });
  }
}

void DeviceUpdater::set_lr(double lr) {
  if (lr != options_.lr) {
    options_.lr = lr;
    lr_.fill_(lr);
  }
}

NamedTensors DeviceUpdater::state() const {
  NamedTensors result;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const auto& name = weights_[i].name;
    if (is_adam()) {
      result.push_back({name + ".step", steps_[i].to(torch::kCPU, torch::kInt64)});
      result.push_back({name + ".exp_avg", exp_avgs_[i]});
      result.push_back({name + ".exp_avg_sq", exp_avg_sqs_[i]});
    } else if (!momenta_.empty()) {
      result.push_back({name + ".momentum_buffer", momenta_[i]});
    }
  }
  return result;
}

void DeviceUpdater::load_state(const NamedTensors& state) {
  // All is looked at before anything is changed.
  const auto own = this->state();
  if (!state.empty() && state.size() != own.size()) {
    throw Error(
        formatted("the optimizer's state has {} tensors, got {}", own.size(), state.size()));
  }
  const auto find = [&](const NamedTensor& weight, const char* what) {
    return state.empty() ? torch::zeros_like(weight.tensor) : stored_for(weight, state, what);
  };
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;  // to, from
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const auto& weight = weights_[i];
    if (is_adam()) {
      const int64_t steps = state.empty() ? 0 : steps_of(state, weight);
      copies.emplace_back(steps_[i], torch::full_like(steps_[i], static_cast<double>(steps)));
      copies.emplace_back(exp_avgs_[i], find(weight, ".exp_avg"));
      copies.emplace_back(exp_avg_sqs_[i], find(weight, ".exp_avg_sq"));
    } else if (!momenta_.empty()) {
      copies.emplace_back(momenta_[i], find(weight, ".momentum_buffer"));
    }
  }
  const torch::NoGradGuard no_grad;
  for (const auto& [to, from] : copies) {
    to.copy_(from);
  }
}

}  // namespace unroll

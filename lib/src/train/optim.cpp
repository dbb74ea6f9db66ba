#include "unroll/optim.h"

#include <torch/csrc/autograd/variable.h>
#include <torch/nn/module.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "base/formatted.h"
#include "base/parse_enum.h"
#include "kernels/cpu/vector_ops.h"
#include "train/clip_on_device.h"
#include "train/device_updater.h"
#include "train/updater_state.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// One array of floats that the CPU's kernels can take as it lies in memory.
bool is_plain(const torch::Tensor& tensor) {
  return tensor.is_cpu() && tensor.scalar_type() == torch::kFloat32 && tensor.is_contiguous();
}

// p -= lr * its gradient: on CPUs with AVX2 to the bit what p.sub_() does, in less time.
void descend(const torch::Tensor& p, double lr) {
  const auto& grad = p.grad();
  if (!is_plain(p) || !is_plain(grad)) {
    p.sub_(grad, lr);
    return;
  }
  cpu::subtract_scaled(grad.const_data_ptr<float>(), static_cast<float>(lr),
                       p.mutable_data_ptr<float>(), p.numel());
  torch::autograd::impl::bump_version(p);
}

// Scales the gradients so that their norm is at most theta, if that is > 0; gives the norm before.
float clip_plain(const std::vector<torch::Tensor>& grads, double theta) {
  double squares = 0;
  for (const auto& grad : grads) {
    squares += cpu::sum_of_squares(grad.const_data_ptr<float>(), grad.numel());
  }
  const auto norm = static_cast<float>(std::sqrt(squares));
  const float factor = static_cast<float>(theta) / norm;
  if (theta > 0 && !(factor >= 1)) {
    for (const auto& grad : grads) {
      cpu::scale(factor, grad.mutable_data_ptr<float>(), grad.numel());
    }
  }
  return norm;
}

// The notebook's sgd over a scratch model's tensors, which remembers nothing between steps.
class ScratchSgd : public Updater {
 public:
  ScratchSgd(std::vector<torch::Tensor> params, double lr) : params_(std::move(params)), lr_(lr) {}

  // As none: the next gradient is then taken as it is instead of added to zeros.
  void zero_grad() override {
    for (auto& p : params_) {
      p.mutable_grad().reset();
    }
  }
  void step() override {
    const torch::NoGradGuard no_grad;
    for (const auto& p : params_) {
      if (p.grad().defined()) {
        descend(p, lr_);
      }
    }
  }
  void set_lr(double lr) override { lr_ = lr; }
  NamedTensors state() const override { return {}; }
  void load_state(const NamedTensors& state) override {
    if (!state.empty()) {
      throw Error(formatted("sgd has no state, got {}", state.front().name));
    }
  }

 private:
  std::vector<torch::Tensor> params_;
  double lr_;
};

// What torch::optim remembers of a weight, and under which names.
NamedTensors to_tensors(const std::string& weight, const torch::optim::SGDParamState& state) {
  return {{weight + ".momentum_buffer", state.momentum_buffer()}};
}

void from_tensors(const NamedTensors& tensors, const NamedTensor& weight,
                  torch::optim::SGDParamState& state) {
  state.momentum_buffer(fitting(tensor_named(tensors, weight.name + ".momentum_buffer"), weight));
}

template <typename AdamState>
NamedTensors to_tensors(const std::string& weight, const AdamState& state) {
  return {{weight + ".step", torch::tensor(state.step(), torch::kInt64)},
          {weight + ".exp_avg", state.exp_avg()},
          {weight + ".exp_avg_sq", state.exp_avg_sq()}};
}

template <typename AdamState>
void from_tensors(const NamedTensors& tensors, const NamedTensor& weight, AdamState& state) {
  state.step(steps_of(tensors, weight));
  state.exp_avg(fitting(tensor_named(tensors, weight.name + ".exp_avg"), weight));
  state.exp_avg_sq(fitting(tensor_named(tensors, weight.name + ".exp_avg_sq"), weight));
}

// Any optimiser of torch::optim, whose state of a weight is a ParamState.
template <typename Optim, typename ParamState>
class TorchUpdater : public Updater {
 public:
  template <typename OptimOptions>
  TorchUpdater(NamedTensors weights, const OptimOptions& options)
      : weights_(std::move(weights)), optim_(values(weights_), options) {}

  void zero_grad() override { optim_.zero_grad(); }
  void step() override { optim_.step(); }
  void set_lr(double lr) override { optim_.param_groups().at(0).options().set_lr(lr); }

  // Without momentum SGD has an entry a weight that holds nothing.
  NamedTensors state() const override {
    NamedTensors result;
    for (const auto& [name, weight] : weights_) {
      const auto found = optim_.state().find(weight.unsafeGetTensorImpl());
      if (found == optim_.state().end()) {
        continue;
      }
      for (auto& tensor : to_tensors(name, static_cast<const ParamState&>(*found->second))) {
        if (tensor.tensor.defined()) {
          result.push_back(std::move(tensor));
        }
      }
    }
    return result;
  }

  void load_state(const NamedTensors& state) override {
    std::vector<std::pair<void*, std::unique_ptr<ParamState>>> complete;
    std::size_t read = 0;
    for (const auto& weight : weights_) {
      if (state.empty()) {
        break;
      }
      auto loaded = std::make_unique<ParamState>();
      from_tensors(state, weight, *loaded);
      read += to_tensors(weight.name, *loaded).size();
      complete.emplace_back(weight.tensor.unsafeGetTensorImpl(), std::move(loaded));
    }
    if (read != state.size()) {
      throw Error(formatted("the optimizer's state has {} tensors, got {}", read, state.size()));
    }
    optim_.state().clear();
    for (auto& [weight, loaded] : complete) {
      optim_.state()[weight] = std::move(loaded);
    }
  }

 private:
  NamedTensors weights_;
  Optim optim_;
};

template <typename Optim, typename ParamState, typename OptimOptions>
std::unique_ptr<Updater> make_torch_updater(SequenceModel& net, OptimOptions optim_options,
                                            const UpdaterOptions& options) {
  if (options.weight_decay) {
    optim_options.weight_decay(*options.weight_decay);
  }
  return std::make_unique<TorchUpdater<Optim, ParamState>>(net.weights(), optim_options);
}

}  // namespace

std::vector<torch::Tensor> gradients(const std::vector<torch::Tensor>& params) {
  std::vector<torch::Tensor> grads;
  for (const auto& p : params) {
    if (p.grad().defined()) {
      grads.push_back(p.grad());
    }
  }
  return grads;
}

torch::Tensor clip_on_device(const std::vector<torch::Tensor>& grads, double theta) {
  auto norm = torch::stack(torch::_foreach_norm(grads)).norm();
  if (theta > 0) {
    torch::_foreach_mul_(grads, (theta / norm).clamp_max(1.0));
  }
  return norm;
}

void Updater::step_unless(const torch::Tensor& skip) {
  if (skip.item<float>() == 0) {
    step();
  }
}

void sgd(const std::vector<torch::Tensor>& params, double lr, int64_t batch_size) {
  const torch::NoGradGuard no_grad;
  for (const auto& p : params) {
    if (p.grad().defined()) {
      descend(p, lr / static_cast<double>(batch_size));
      p.grad().zero_();
    }
  }
}

torch::Tensor grad_clipping(const std::vector<torch::Tensor>& params, double theta) {
  const torch::NoGradGuard no_grad;
  const auto grads = gradients(params);
  if (grads.empty()) {
    return torch::zeros({});
  }
  if (std::all_of(grads.begin(), grads.end(), is_plain)) {
    return torch::scalar_tensor(clip_plain(grads, theta), torch::kFloat32);
  }
  return clip_on_device(grads, theta);
}

torch::Tensor grad_clipping(const SequenceModel& net, double theta) {
  return grad_clipping(values(net.weights()), theta);
}

std::string_view to_string(Optimizer optimizer) {
  switch (optimizer) {
    case Optimizer::kAdam:
      return "adam";
    case Optimizer::kAdamW:
      return "adamw";
    case Optimizer::kSgd:
      break;
  }
  return "sgd";
}

Optimizer parse_optimizer(std::string_view name) {
  return parse_enum("optimizer", name,
                    std::array{Optimizer::kSgd, Optimizer::kAdam, Optimizer::kAdamW});
}

void check(const UpdaterOptions& options) {
  // float32 ends at 3.4e38; Adam's first steps are 10 lr, AdamW's decay is lr times the option.
  constexpr double kMost = 3e37;
  if (!(options.lr > 0 && options.lr <= kMost)) {
    throw UsageError(formatted("lr must be > 0 and at most {}, got {}", kMost, options.lr));
  }
  if (!(options.momentum >= 0 && options.momentum < 1)) {
    throw UsageError(formatted("momentum must be from 0 to below 1, got {}", options.momentum));
  }
  if (options.momentum > 0 && options.optimizer != Optimizer::kSgd) {
    throw UsageError(formatted("momentum is the optimizer sgd's, got momentum {} with {}",
                               options.momentum, to_string(options.optimizer)));
  }
  const double most_decay = kMost / std::max(options.lr, 1.0);
  if (options.weight_decay &&
      !(*options.weight_decay >= 0 && *options.weight_decay <= most_decay)) {
    throw UsageError(formatted("weight-decay must be from 0 to {} at lr {}, got {}", most_decay,
                               options.lr, *options.weight_decay));
  }
}

std::unique_ptr<Updater> make_updater(SequenceModel& net, const UpdaterOptions& options) {
  using torch::optim::Adam;
  using torch::optim::AdamW;
  using torch::optim::SGD;
  check(options);
  if (!net.device().is_cpu()) {
    return std::make_unique<DeviceUpdater>(net.weights(), options);
  }
  switch (options.optimizer) {
    case Optimizer::kAdam:
      return make_torch_updater<Adam, torch::optim::AdamParamState>(
          net, torch::optim::AdamOptions(options.lr), options);
    case Optimizer::kAdamW:
      return make_torch_updater<AdamW, torch::optim::AdamWParamState>(
          net, torch::optim::AdamWOptions(options.lr), options);
    case Optimizer::kSgd:
      break;
  }
  const bool plain = options.momentum == 0 && options.weight_decay.value_or(0) == 0;
  if (plain && dynamic_cast<torch::nn::Module*>(&net) == nullptr) {
    return std::make_unique<ScratchSgd>(values(net.weights()), options.lr);
  }
  return make_torch_updater<SGD, torch::optim::SGDParamState>(
      net, torch::optim::SGDOptions(options.lr).momentum(options.momentum), options);
}

std::unique_ptr<Updater> make_updater(SequenceModel& net, Optimizer optimizer, double lr) {
  return make_updater(net, UpdaterOptions{.optimizer = optimizer, .lr = lr});
}

}  // namespace unroll

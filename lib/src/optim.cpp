#include "unroll/optim.h"

#include <fmt/format.h>
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

#include "kernels/cpu/vector_ops.h"
#include "parse_enum.h"
#include "unroll/error.h"

namespace unroll {
namespace {

std::vector<torch::Tensor> gradients(const std::vector<torch::Tensor>& params) {
  std::vector<torch::Tensor> grads;
  for (const auto& p : params) {
    if (p.grad().defined()) {
      grads.push_back(p.grad());
    }
  }
  return grads;
}

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

// SGD without momentum, which remembers nothing between steps.
class PlainSgd : public Updater {
 public:
  NamedTensors state() const override { return {}; }
  void load_state(const NamedTensors& state) override {
    if (!state.empty()) {
      throw Error(fmt::format("sgd has no state, got {}", state.front().name));
    }
  }
};

// The notebook's sgd over a scratch model's tensors.
class ScratchSgd : public PlainSgd {
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

 private:
  std::vector<torch::Tensor> params_;
  double lr_;
};

// torch::optim::SGD over a module's.
class TorchSgd : public PlainSgd {
 public:
  TorchSgd(const std::vector<torch::Tensor>& params, double lr) : sgd_(params, lr) {}

  void zero_grad() override { sgd_.zero_grad(); }
  void step() override { sgd_.step(); }
  void set_lr(double lr) override { sgd_.param_groups().at(0).options().set_lr(lr); }

 private:
  torch::optim::SGD sgd_;
};

// torch::optim::Adam or AdamW, whose states are the same: steps and two running means a weight.
template <typename Adam, typename ParamState>
class AdamUpdater : public Updater {
 public:
  AdamUpdater(NamedTensors weights, double lr)
      : weights_(std::move(weights)), adam_(values(weights_), lr) {}

  void zero_grad() override { adam_.zero_grad(); }
  void step() override { adam_.step(); }
  void set_lr(double lr) override { adam_.param_groups().at(0).options().set_lr(lr); }

  NamedTensors state() const override {
    NamedTensors result;
    for (const auto& [name, weight] : weights_) {
      const auto found = adam_.state().find(weight.unsafeGetTensorImpl());
      if (found == adam_.state().end()) {
        continue;
      }
      const auto& state = static_cast<const ParamState&>(*found->second);
      result.push_back({name + ".step", torch::tensor(state.step(), torch::kInt64)});
      result.push_back({name + ".exp_avg", state.exp_avg()});
      result.push_back({name + ".exp_avg_sq", state.exp_avg_sq()});
    }
    return result;
  }

  void load_state(const NamedTensors& state) override {
    if (!state.empty() && state.size() != 3 * weights_.size()) {
      throw Error(
          fmt::format("Adam's state has {} tensors, got {}", 3 * weights_.size(), state.size()));
    }
    std::vector<std::pair<void*, std::unique_ptr<ParamState>>> complete;
    for (const auto& [name, weight] : weights_) {
      if (state.empty()) {
        break;
      }
      auto loaded = std::make_unique<ParamState>();
      loaded->step(at(state, name + ".step").template item<int64_t>());
      loaded->exp_avg(fitting(at(state, name + ".exp_avg"), name, weight));
      loaded->exp_avg_sq(fitting(at(state, name + ".exp_avg_sq"), name, weight));
      complete.emplace_back(weight.unsafeGetTensorImpl(), std::move(loaded));
    }
    adam_.state().clear();
    for (auto& [weight, loaded] : complete) {
      adam_.state()[weight] = std::move(loaded);
    }
  }

 private:
  static torch::Tensor fitting(const torch::Tensor& loaded, const std::string& name,
                               const torch::Tensor& weight) {
    if (loaded.sizes() != weight.sizes()) {
      throw Error(fmt::format("Adam's state of {} has another shape than the weight", name));
    }
    return loaded.to(weight.device(), weight.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  }

  NamedTensors weights_;
  Adam adam_;
};

}  // namespace

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
  auto grads = gradients(params);
  if (grads.empty()) {
    return torch::zeros({});
  }
  if (std::all_of(grads.begin(), grads.end(), is_plain)) {
    return torch::scalar_tensor(clip_plain(grads, theta), torch::kFloat32);
  }
  auto norm = torch::stack(torch::_foreach_norm(grads)).norm();
  if (theta > 0) {
    const auto factor = (theta / norm).clamp_max(1.0);
    // On a CPU there is nothing to wait for, and often nothing to do.
    if (!factor.is_cpu() || !(factor.item<double>() >= 1)) {
      torch::_foreach_mul_(grads, factor);
    }
  }
  return norm;
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

std::unique_ptr<Updater> make_updater(SequenceModel& net, Optimizer optimizer, double lr) {
  switch (optimizer) {
    case Optimizer::kAdam:
      return std::make_unique<AdamUpdater<torch::optim::Adam, torch::optim::AdamParamState>>(
          net.weights(), lr);
    case Optimizer::kAdamW:
      return std::make_unique<AdamUpdater<torch::optim::AdamW, torch::optim::AdamWParamState>>(
          net.weights(), lr);
    case Optimizer::kSgd:
      break;
  }
  if (dynamic_cast<torch::nn::Module*>(&net) != nullptr) {
    return std::make_unique<TorchSgd>(values(net.weights()), lr);
  }
  return std::make_unique<ScratchSgd>(values(net.weights()), lr);
}

}  // namespace unroll

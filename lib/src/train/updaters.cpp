#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/fields.h"
#include "base/formatted.h"
#include "cuda_part/cuda_part.h"
#include "tensors/leaves.h"
#include "train/device_updater.h"
#include "train/gradients.h"
#include "train/own_optimizer.h"
#include "train/updater_state.h"
#include "unroll/error.h"
#include "unroll/optim.h"

namespace unroll {
namespace {

// The notebook's sgd, which remembers nothing between steps. torch::optim::SGD gives the same bits.
class PlainSgd : public Updater {
 public:
  PlainSgd(std::vector<torch::Tensor> params, double lr) : params_(std::move(params)), lr_(lr) {}

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

// What it would remember of a weight that never had a gradient.
void set_unused(const torch::Tensor& weight, torch::optim::SGDParamState& state) {
  state.momentum_buffer(torch::zeros_like(weight));
}

void from_tensors(const NamedTensors& tensors, const NamedTensor& weight,
                  torch::optim::SGDParamState& state) {
  state.momentum_buffer(stored_for(weight, tensors, ".momentum_buffer"));
}

template <typename AdamState>
NamedTensors to_tensors(const std::string& weight, const AdamState& state) {
  return {{weight + ".step", torch::tensor(state.step(), torch::kInt64)},
          {weight + ".exp_avg", state.exp_avg()},
          {weight + ".exp_avg_sq", state.exp_avg_sq()}};
}

template <typename AdamState>
void set_unused(const torch::Tensor& weight, AdamState& state) {
  state.step(0);
  state.exp_avg(torch::zeros_like(weight));
  state.exp_avg_sq(torch::zeros_like(weight));
}

template <typename AdamState>
void from_tensors(const NamedTensors& tensors, const NamedTensor& weight, AdamState& state) {
  state.step(steps_of(tensors, weight));
  state.exp_avg(stored_for(weight, tensors, ".exp_avg"));
  state.exp_avg_sq(stored_for(weight, tensors, ".exp_avg_sq"));
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

  NamedTensors state() const override {
    NamedTensors result;
    bool has_begun = false;
    for (const auto& [name, weight] : weights_) {
      const auto found = optim_.state().find(weight.unsafeGetTensorImpl());
      ParamState unused;
      const bool is_used = found != optim_.state().end();
      if (!is_used) {
        set_unused(weight, unused);
      }
      const auto& kept = is_used ? static_cast<const ParamState&>(*found->second) : unused;
      for (auto& tensor : to_tensors(name, kept)) {
        if (tensor.tensor.defined()) {  // without momentum SGD has an entry that holds nothing
          has_begun = has_begun || is_used;
          result.push_back(std::move(tensor));
        }
      }
    }
    return has_begun ? result : NamedTensors{};
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
std::unique_ptr<Updater> make_torch_updater(NamedTensors weights, OptimOptions optim_options,
                                            const UpdaterOptions& options) {
  if (options.weight_decay) {
    optim_options.weight_decay(*options.weight_decay);
  }
  return std::make_unique<TorchUpdater<Optim, ParamState>>(std::move(weights), optim_options);
}

}  // namespace

void Updater::step_unless(const torch::Tensor& skip) {
  if (skip.item<float>() == 0) {
    step();
  }
}

void check(const UpdaterOptions& options) {
  check_ranges(options);
  if (options.momentum > 0 && options.optimizer != Optimizer::kSgd) {
    throw UsageError(formatted("momentum belongs to the optimizer sgd, got momentum {} with {}",
                               options.momentum, to_string(options.optimizer)));
  }
  // AdamW's decay is lr times the option, which float32 must hold.
  const double most_decay = 3e37 / std::max(options.lr, 1.0);
  if (options.weight_decay && *options.weight_decay > most_decay) {
    throw UsageError(formatted("weight-decay must be from 0 to {} at lr {}, got {}", most_decay,
                               options.lr, *options.weight_decay));
  }
}

std::unique_ptr<Updater> make_updater(SequenceModel& net, const UpdaterOptions& options) {
  using torch::optim::Adam;
  using torch::optim::AdamW;
  using torch::optim::SGD;
  check(options);
  auto weights = trained_weights(net);
  require_leaves(weights);
  if (weights.empty()) {
    throw Error("no weight of the model requires a gradient, so that there is nothing to train");
  }
  if (options.own) {
    return std::make_unique<OwnOptimizer>(values(weights), options);
  }
  if (!net.device().is_cpu()) {
    const auto* kernels = net.device().is_cuda() ? cuda_part().kernels.get() : nullptr;
    return std::make_unique<DeviceUpdater>(std::move(weights), options, kernels);
  }
  switch (options.optimizer) {
    case Optimizer::kAdam:
      return make_torch_updater<Adam, torch::optim::AdamParamState>(
          std::move(weights), torch::optim::AdamOptions(options.lr), options);
    case Optimizer::kAdamW:
      return make_torch_updater<AdamW, torch::optim::AdamWParamState>(
          std::move(weights), torch::optim::AdamWOptions(options.lr), options);
    case Optimizer::kSgd:
      break;
  }
  if (options.momentum == 0 && options.weight_decay.value_or(0) == 0) {
    return std::make_unique<PlainSgd>(values(weights), options.lr);
  }
  return make_torch_updater<SGD, torch::optim::SGDParamState>(
      std::move(weights), torch::optim::SGDOptions(options.lr).momentum(options.momentum), options);
}

}  // namespace unroll

#include "train/update_kernels.h"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstddef>

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/kernel_name.h"
#include "kernels/cuda/shapes.h"

namespace unroll {
namespace {

constexpr auto kAtOnce = static_cast<std::size_t>(cuda::kTensorsAtOnce);

bool is_plain(const torch::Tensor& tensor, torch::Device device) {
  return tensor.device() == device && tensor.scalar_type() == torch::kFloat32 &&
         tensor.is_contiguous();
}

// As many, all plain, and of the same shapes.
bool are_like(const State& state, const State& other, torch::Device device) {
  return std::equal(state.begin(), state.end(), other.begin(), other.end(),
                    [&](const torch::Tensor& one, const torch::Tensor& two) {
                      return is_plain(one, device) && is_plain(two, device) &&
                             one.sizes() == two.sizes();
                    });
}

float* data_of(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr;
}

// Of the weights from `first` on that one launch takes.
std::size_t count_from(const std::vector<UpdatedWeight>& weights, std::size_t first) {
  return std::min(kAtOnce, weights.size() - first);
}

int64_t pieces_from(const std::vector<UpdatedWeight>& weights, std::size_t first) {
  int64_t pieces = 0;
  for (std::size_t i = 0; i < count_from(weights, first); ++i) {
    pieces += cuda::pieces_of(weights[first + i].weight.numel());
  }
  return pieces;
}

}  // namespace

UpdateKernels::UpdateKernels(const CudaKernels& kernels, torch::Device device,
                             std::size_t most_weights)
    : kernels_(kernels), device_(device) {
  const auto launches = static_cast<int64_t>((most_weights + kAtOnce - 1) / kAtOnce);
  squares_ = torch::empty({launches * kernels.limits(device).multiprocessors},
                          torch::dtype(torch::kFloat64).device(device));
  scale_and_skip_ = torch::zeros({2}, torch::dtype(torch::kFloat32).device(device));
}

bool UpdateKernels::serve(const StepEnd& end, const std::vector<UpdatedWeight>& weights,
                          cuda::UpdateRule rule) const {
  const auto is_served = [&](const UpdatedWeight& w) {
    return is_plain(w.weight, device_) && is_plain(w.gradient, device_) &&
           w.gradient.sizes() == w.weight.sizes();
  };
  return !weights.empty() && std::all_of(weights.begin(), weights.end(), is_served) &&
         is_plain(end.loss, device_) && end.carry.size() <= cuda::kMostStates &&
         are_like(end.carry, end.after, device_) &&
         (end.begin.empty() || are_like(end.carry, end.begin, device_)) &&
         kernels_.have({cuda::kNormOfGradients, cuda::update_kernel(rule)}, device_);
}

void UpdateKernels::run(const StepEnd& end, const std::vector<UpdatedWeight>& weights,
                        const UpdateNumbers& numbers) {
  norm(end, weights);
  update(end, weights, numbers);
  // So that LibTorch knows that they have changed
  for (const auto& w : weights) {
    torch::autograd::impl::bump_version(w.weight);
  }
  for (const auto& state : end.carry) {
    torch::autograd::impl::bump_version(state);
  }
}

void UpdateKernels::norm(const StepEnd& end, const std::vector<UpdatedWeight>& weights) {
  int used = 0;
  for (std::size_t first = 0; first < weights.size(); first += kAtOnce) {
    const int blocks = kernels_.blocks_for(pieces_from(weights, first), device_);
    const bool is_last = first + kAtOnce >= weights.size();
    cuda::NormArguments a{.tensors = static_cast<int>(count_from(weights, first)),
                          .gradients = {},
                          .sizes = {},
                          .squares = squares_.mutable_data_ptr<double>(),
                          .first = used,
                          .all = is_last ? used + blocks : 0,
                          .clip = static_cast<float>(end.clip),
                          .loss = end.loss.const_data_ptr<float>(),
                          .tokens = end.tokens,
                          .stops = end.stops,
                          .loss_sum = end.sums.loss.mutable_data_ptr<double>(),
                          .norm_sum = end.sums.grad_norm.mutable_data_ptr<double>(),
                          .nonfinite = end.sums.nonfinite.mutable_data_ptr<int64_t>(),
                          .scale = scale_and_skip_.mutable_data_ptr<float>(),
                          .skip = scale_and_skip_.mutable_data_ptr<float>() + 1,
                          .arrivals = nullptr};
    for (int i = 0; i < a.tensors; ++i) {
      const auto& gradient = weights[first + static_cast<std::size_t>(i)].gradient;
      a.gradients[i] = gradient.const_data_ptr<float>();
      a.sizes[i] = gradient.numel();
    }
    kernels_.run(cuda::kNormOfGradients, a, blocks, cuda::kWarps * sizeof(double), device_,
                 workspace_);
    used += blocks;
  }
}

void UpdateKernels::update(const StepEnd& end, const std::vector<UpdatedWeight>& weights,
                           const UpdateNumbers& numbers) {
  for (std::size_t first = 0; first < weights.size(); first += kAtOnce) {
    cuda::UpdateArguments a{.tensors = static_cast<int>(count_from(weights, first)),
                            .weights = {},
                            .gradients = {},
                            .means = {},
                            .squares = {},
                            .steps = {},
                            .sizes = {},
                            .scale = scale_and_skip_.mutable_data_ptr<float>(),
                            .skip = scale_and_skip_.mutable_data_ptr<float>() + 1,
                            .lr = numbers.lr.const_data_ptr<float>(),
                            .weight_decay = static_cast<float>(numbers.weight_decay),
                            .momentum = static_cast<float>(numbers.momentum),
                            .beta1 = numbers.beta1,
                            .beta2 = numbers.beta2,
                            .epsilon = static_cast<float>(numbers.epsilon),
                            .states = first == 0 ? static_cast<int>(end.carry.size()) : 0,
                            .carry = {},
                            .state_sizes = {},
                            .arrivals = nullptr};
    for (int i = 0; i < a.tensors; ++i) {
      const auto& w = weights[first + static_cast<std::size_t>(i)];
      a.weights[i] = data_of(w.weight);
      a.gradients[i] = w.gradient.const_data_ptr<float>();
      a.means[i] = data_of(w.mean);
      a.squares[i] = data_of(w.square);
      a.steps[i] = data_of(w.steps);
      a.sizes[i] = w.weight.numel();
    }
    for (int i = 0; i < a.states; ++i) {
      const auto at = static_cast<std::size_t>(i);
      a.carry[i] = {.after = end.after[at].const_data_ptr<float>(),
                    .begin = end.begin.empty() ? nullptr : end.begin[at].const_data_ptr<float>(),
                    .to = end.carry[at].mutable_data_ptr<float>()};
      a.state_sizes[i] = end.carry[at].numel();
    }
    kernels_.run(cuda::update_kernel(numbers.rule), a,
                 kernels_.blocks_for(pieces_from(weights, first), device_), 2 * sizeof(float),
                 device_, workspace_);
  }
}

}  // namespace unroll

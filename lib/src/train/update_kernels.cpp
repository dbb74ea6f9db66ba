#include "train/update_kernels.h"

#include <algorithm>
#include <cstddef>

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/kernel_name.h"
#include "kernels/cuda/shapes.h"

namespace unroll {
namespace {

constexpr auto kAtOnce = static_cast<std::size_t>(cuda::kTensorsAtOnce);

bool is_plain_float(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kFloat32 && tensor.is_contiguous();
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

UpdateKernels::UpdateKernels(const CudaKernels& kernels, torch::Device device)
    : kernels_(kernels),
      device_(device),
      verdict_(torch::zeros({2}, torch::dtype(torch::kFloat32).device(device))) {}

bool UpdateKernels::serve(const StepEnd& end, const std::vector<UpdatedWeight>& weights,
                          cuda::UpdateRule rule) const {
  const auto all_plain = [](const State& state) {
    return std::all_of(state.begin(), state.end(), is_plain_float);
  };
  return !weights.empty() && end.loss.scalar_type() == torch::kFloat32 &&
         std::all_of(weights.begin(), weights.end(),
                     [](const UpdatedWeight& w) {
                       return is_plain_float(w.weight) && is_plain_float(w.gradient);
                     }) &&
         end.after.size() <= 2 && all_plain(end.after) && all_plain(end.begin) &&
         all_plain(end.carry) &&
         kernels_.have({cuda::kNormOfGradients, cuda::update_kernel(rule)}, device_);
}

void UpdateKernels::run(const StepEnd& end, const std::vector<UpdatedWeight>& weights,
                        const UpdateNumbers& numbers) {
  judge(end, weights);
  update(end, weights, numbers);
}

int UpdateKernels::blocks_for(int64_t pieces) const {
  return static_cast<int>(
      std::clamp<int64_t>(pieces, 1, kernels_.limits(device_).multiprocessors));
}

void UpdateKernels::judge(const StepEnd& end, const std::vector<UpdatedWeight>& weights) {
  const auto launches = static_cast<int64_t>((weights.size() + kAtOnce - 1) / kAtOnce);
  const int64_t most = launches * kernels_.limits(device_).multiprocessors;
  if (!squares_.defined()) {
    squares_ = torch::empty({most}, torch::dtype(torch::kFloat64).device(device_));
  }
  int used = 0;
  for (std::size_t first = 0; first < weights.size(); first += kAtOnce) {
    const int blocks = blocks_for(pieces_from(weights, first));
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
                          .of_nonfinite = end.of_nonfinite,
                          .loss_sum = end.sums.loss.mutable_data_ptr<double>(),
                          .norm_sum = end.sums.grad_norm.mutable_data_ptr<double>(),
                          .nonfinite = end.sums.nonfinite.mutable_data_ptr<int64_t>(),
                          .scale = verdict(0),
                          .skip = verdict(1),
                          .arrivals = nullptr};
    for (int i = 0; i < a.tensors; ++i) {
      const auto& gradient = weights[first + static_cast<std::size_t>(i)].gradient;
      a.gradients[i] = gradient.const_data_ptr<float>();
      a.sizes[i] = gradient.numel();
    }
    kernels_.run(cuda::kNormOfGradients, a, blocks, cuda::kThreads * sizeof(double), device_);
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
                            .scale = verdict(0),
                            .skip = verdict(1),
                            .lr = numbers.lr.const_data_ptr<float>(),
                            .weight_decay = static_cast<float>(numbers.weight_decay),
                            .momentum = static_cast<float>(numbers.momentum),
                            .beta1 = numbers.beta1,
                            .beta2 = numbers.beta2,
                            .epsilon = static_cast<float>(numbers.epsilon),
                            .states = first == 0 ? static_cast<int>(end.carry.size()) : 0,
                            .carry = {},
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
                    .to = end.carry[at].mutable_data_ptr<float>(),
                    .size = end.carry[at].numel()};
    }
    kernels_.run(cuda::update_kernel(numbers.rule), a, blocks_for(pieces_from(weights, first)),
                 cuda::kThreads * sizeof(float), device_);
  }
}

}  // namespace unroll

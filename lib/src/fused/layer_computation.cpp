#include "fused/layer_computation.h"

#include <algorithm>
#include <cstddef>

#include "base/formatted.h"
#include "cuda_part/cuda_part.h"
#include "fused/dropout.h"
#include "fused/engine.h"
#include "fused/engine_choice.h"
#include "models/arguments.h"
#include "models/cell_kind.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// torch::nn's layers without biases are layers with zeros. All weights of a layer: 4.
std::vector<torch::Tensor> with_biases(at::TensorList weights, bool has_biases) {
  if (has_biases) {
    return weights.vec();
  }
  std::vector<torch::Tensor> all;
  all.reserve(2 * weights.size());
  const auto zeros = torch::zeros({weights[0].size(0)}, weights[0].options());
  for (std::size_t i = 0; i < weights.size(); i += 2) {
    all.insert(all.end(), {weights[i], weights[i + 1], zeros, zeros});
  }
  return all;
}

// Of each state tensor so many layers from the `first` on.
State layers_of(const State& state, int64_t first, int64_t count) {
  State part;
  part.reserve(state.size());
  for (const auto& s : state) {
    part.push_back(s.narrow(0, first, count));
  }
  return part;
}

}  // namespace

LayerComputation::LayerComputation(const torch::nn::detail::RNNOptionsBase& options,
                                   const Compute& compute)
    : options_(options),
      compute_(compute),
      layout_{.cell = cell_kind({.model = ModelKind::kConcise, .cell = cell_of(options)}),
              .concise = true,
              .layers = options.bidirectional() ? 1 : options.num_layers()} {
  const int64_t stacks = options.bidirectional() ? 2 * options.num_layers() : 1;
  for (int64_t i = 0; i < stacks; ++i) {
    stacks_.push_back(std::make_shared<LayerStacks>(
        [layout = layout_, H = options.hidden_size(), parts = bf16_parts(compute.precision)] {
          return std::make_shared<cpu::LayerStack>(layout.cell, layout.layers, H, parts);
        }));
    workspaces_.push_back(std::make_shared<Workspace>());
  }
}

bool LayerComputation::is_left_to_torch() const {
  // A dropout of 1, which leaves nothing, would divide by zero.
  return compute_.backend == Backend::kPlain || compute_.backend == Backend::kCudnn ||
         options_.dropout() >= 1;
}

std::optional<cuda::Operands> LayerComputation::operands(int64_t batch_size,
                                                         torch::Device device) const {
  const auto* kernels = cuda_part().kernels.get();
  if (kernels == nullptr) {
    return std::nullopt;
  }
  if (!operands_) {
    operands_.emplace(*kernels, compute_.precision, layout_.cell, options_.hidden_size());
  }
  return operands_->of(batch_size, device);
}

std::optional<Precision> LayerComputation::precision(int64_t batch_size,
                                                     at::TensorList tensors) const {
  const auto device = tensors.front().device();
  if (is_left_to_torch() || !all_float(tensors)) {
    return std::nullopt;
  }
  if (device.is_cpu()) {
    return compute_.precision;
  }
  const bool is_left_to_cudnn = compute_.backend == Backend::kAuto &&
                                cudnn_is_faster(layout_.cell, batch_size, options_.hidden_size());
  const auto multiplied =
      device.is_cuda() && !is_left_to_cudnn ? operands(batch_size, device) : std::nullopt;
  if (!multiplied) {
    return std::nullopt;
  }
  return *multiplied == cuda::Operands::kBf16 ? Precision::kBf16 : Precision::kFp32;
}

void LayerComputation::check_arguments(const torch::Tensor& input, const torch::Tensor& weight,
                                       State& state) const {
  const auto inputs = options_.input_size();
  if (input.dim() != 3 || input.size(2) != inputs) {
    throw Error(formatted("the input must have shape [{}, {}], got [{}]",
                          options_.batch_first() ? "B, T" : "T, B", inputs,
                          joined(input.sizes(), ", ")));
  }
  check_device(input, weight.device(), "the input");
  const int64_t B = input.size(options_.batch_first() ? 0 : 1);
  const int64_t layers = options_.num_layers() * (options_.bidirectional() ? 2 : 1);
  const auto count = state_count(layout_);
  if (state.empty()) {
    state.assign(count, torch::zeros({layers, B, options_.hidden_size()},
                                     weight.options().requires_grad(false)));
  }
  StateForm(count, {layers, B, options_.hidden_size()}).check(state, B, weight);
}

std::optional<std::pair<torch::Tensor, State>> LayerComputation::run(at::TensorList weights,
                                                                     const torch::Tensor& input,
                                                                     State state, bool trains) {
  check_arguments(input, weights.front(), state);
  require_supported(compute_, input.device());
  if (is_left_to_torch()) {
    return std::nullopt;
  }
  auto tensors = with_biases(weights, options_.bias());
  auto all = tensors;
  all.insert(all.end(), state.begin(), state.end());
  all.push_back(input);
  const auto x = options_.batch_first() ? input.transpose(0, 1) : input;
  if (input.numel() == 0 || !precision(x.size(1), all)) {
    return std::nullopt;
  }
  const double dropout = trains ? options_.dropout() : 0;
  auto result = options_.bidirectional() ? run_both_directions(x, tensors, state, dropout)
                                         : run_stack(x, 0, tensors, state, dropout);
  if (options_.batch_first()) {
    result.first = result.first.transpose(0, 1);
  }
  return result;
}

std::pair<torch::Tensor, State> LayerComputation::run_stack(
    const torch::Tensor& x, std::size_t first, const std::vector<torch::Tensor>& weights,
    const State& state, double dropout) {
  const auto own = at::TensorList(weights).slice(4 * first, layer_weight_count(layout_));
  if (x.is_cpu()) {
    return run_layers_on_cpu(layout_, own, x, state, stacks_[first], dropout, compute_.generator);
  }
  return run_layers_on_cuda(*cuda_part().kernels, layout_, own, x, state,
                            operands(x.size(1), x.device()).value(), workspaces_[first], dropout,
                            compute_.generator);
}

std::pair<torch::Tensor, State> LayerComputation::run_both_directions(
    torch::Tensor x, const std::vector<torch::Tensor>& weights, const State& state,
    double dropout) {
  std::vector<State> after(state.size());
  for (int64_t l = 0; l < options_.num_layers(); ++l) {
    std::vector<torch::Tensor> outputs;
    for (const bool backward : {false, true}) {
      const int64_t i = 2 * l + (backward ? 1 : 0);
      auto [h, last] = run_stack(backward ? x.flip(0) : x, static_cast<std::size_t>(i), weights,
                                 layers_of(state, i, 1), dropout);
      outputs.push_back(backward ? h.flip(0) : h);
      for (std::size_t k = 0; k < last.size(); ++k) {
        after[k].push_back(last[k]);
      }
    }
    x = torch::cat(outputs, 2);
    if (dropout > 0 && l + 1 < options_.num_layers()) {
      x = dropped(x, dropout, compute_.generator);
    }
  }
  State next;
  for (const auto& layers : after) {
    next.push_back(torch::cat(layers));
  }
  return {x, std::move(next)};
}

}  // namespace unroll

#include "layers/layer_computation.h"

#include <cstddef>

#include "base/formatted.h"
#include "cuda_part/cuda_part.h"
#include "layers/cudnn.h"
#include "layers/dropout.h"
#include "layers/tensor_pointers.h"
#include "models/arguments.h"
#include "models/cell_kind.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using RnnOptions = LayerComputation::Options;

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

// Of each state tensor that of one layer.
State state_of_layer(const State& state, int64_t i) {
  State part;
  part.reserve(state.size());
  for (const auto& s : state) {
    part.push_back(s.narrow(0, i, 1));
  }
  return part;
}

// Throws Error unless they fit the options; an empty state becomes zeros.
void check_arguments(const RnnOptions& options, std::size_t state_count, const torch::Tensor& input,
                     const torch::Tensor& weight, State& state) {
  const auto inputs = options.input_size();
  if (input.dim() != 3 || input.size(2) != inputs) {
    throw Error(formatted("the input must have shape [{}, {}], got [{}]",
                          options.batch_first() ? "B, T" : "T, B", inputs,
                          joined(input.sizes(), ", ")));
  }
  check_device(input, weight.device(), "the input");
  const int64_t B = input.size(options.batch_first() ? 0 : 1);
  const int64_t layers = options.num_layers() * (options.bidirectional() ? 2 : 1);
  if (state.empty()) {
    state.assign(state_count, torch::zeros({layers, B, options.hidden_size()}, weight.options()));
  }
  StateForm(state_count, {layers, B, options.hidden_size()}).check(state, B, weight);
}

}  // namespace

LayerComputation::LayerComputation(const Compute& compute) : compute_(compute) {
  const bool is_torchs = compute.backend == Backend::kPlain || compute.backend == Backend::kCudnn;
  if (is_torchs && compute.precision != Precision::kFp32) {
    throw UsageError(formatted("precision {} is our kernels', got compute {}",
                               to_string(compute.precision), to_string(compute.backend)));
  }
}

void LayerComputation::prepare(const Options& options) {
  const bool both = options.bidirectional();
  const Shape shape{
      .layout = {.cell = cell_kind({.model = ModelKind::kConcise, .cell = cell_of(options)}),
                 .concise = true,
                 .layers = both ? 1 : options.num_layers()},
      .stacks = both ? 2 * options.num_layers() : 1,
      .hidden = options.hidden_size()};
  if (shape == shape_) {
    return;
  }
  shape_ = shape;
  stacks_.clear();
  operands_.reset();
  for (int64_t i = 0; i < shape.stacks; ++i) {
    stacks_.push_back(
        {.memory = std::make_shared<LayerStacks>(
             [layout = shape.layout, H = shape.hidden, parts = bf16_parts(compute_.precision)] {
               return std::make_shared<cpu::LayerStack>(layout.cell, layout.layers, H, parts);
             })});
  }
}

bool LayerComputation::is_left_to_torch(const Options& options) const {
  // A dropout of 1, which leaves nothing, would divide by zero.
  return compute_.backend == Backend::kPlain || compute_.backend == Backend::kCudnn ||
         options.dropout() >= 1;
}

std::optional<cuda::Operands> LayerComputation::operands(int64_t batch_size, torch::Device device) {
  const auto* kernels = cuda_part().kernels.get();
  if (kernels == nullptr) {
    return std::nullopt;
  }
  if (!operands_) {
    operands_.emplace(*kernels, compute_.precision, shape_->layout.cell, shape_->hidden);
  }
  return operands_->of(batch_size, device);
}

std::optional<Precision> LayerComputation::precision(const Options& options, int64_t batch_size,
                                                     at::TensorList tensors) {
  prepare(options);
  if (is_left_to_torch(options) || !all_float(tensors)) {
    return std::nullopt;
  }
  const auto device = tensors.front().device();
  if (device.is_cpu()) {
    return compute_.precision;
  }
  const ModelConfig config{.cell = cell_of(options), .dropout = options.dropout()};
  const bool is_left_to_cudnn = compute_.backend == Backend::kAuto &&
                                compute_.precision == Precision::kFp32 &&
                                has_cudnn(config, compute_) &&
                                cudnn_is_faster(shape_->layout.cell, batch_size, shape_->hidden);
  const auto multiplied =
      device.is_cuda() && !is_left_to_cudnn ? operands(batch_size, device) : std::nullopt;
  if (!multiplied) {
    return std::nullopt;
  }
  return *multiplied == cuda::Operands::kBf16 ? Precision::kBf16 : Precision::kFp32;
}

std::optional<std::pair<torch::Tensor, State>> LayerComputation::run(const Options& options,
                                                                     at::TensorList weights,
                                                                     const torch::Tensor& input,
                                                                     State state, bool trains) {
  prepare(options);
  check_arguments(options, state_count(shape_->layout), input, weights.front(), state);
  require_supported(compute_, input.device());
  const double dropout = trains ? options.dropout() : 0;
  const auto x = options.batch_first() ? input.transpose(0, 1) : input;
  const auto own = with_biases(weights, options.bias());
  auto all = own;
  all.insert(all.end(), state.begin(), state.end());
  all.push_back(input);
  if (input.numel() == 0 || !precision(options, x.size(1), all)) {
    if (compute_.generator && dropout > 0) {
      throw Error(
          "dropout is computed by torch::nn here, and draws from LibTorch's default generator "
          "instead of the layer's own");
    }
    return std::nullopt;
  }
  auto result = options.bidirectional() ? run_both_directions(own, x, state, dropout)
                                        : run_stack(0, own, x, state, dropout);
  if (options.batch_first()) {
    result.first = result.first.transpose(0, 1);
  }
  return result;
}

std::pair<torch::Tensor, State> LayerComputation::run_stack(std::size_t i, at::TensorList weights,
                                                            const torch::Tensor& x,
                                                            const State& state, double dropout) {
  const auto& layout = shape_->layout;
  if (x.is_cpu()) {
    return run_layers_on_cpu(layout, weights, x, state, stacks_[i].memory, dropout,
                             compute_.generator);
  }
  const auto device = x.device();
  auto& workspace = stacks_[i].workspaces[device.index()];
  if (!workspace) {
    workspace = std::make_shared<Workspace>();
  }
  auto result = run_layers_on_cuda(*cuda_part().kernels, layout, weights, x, state,
                                   operands(x.size(1), device).value(), workspace, dropout,
                                   compute_.generator);
  if (layout.layers == 1) {
    for (auto& s : result.second) {
      s = s.clone();  // else a part of the outputs, which an own change would change too
    }
  }
  return result;
}

std::pair<torch::Tensor, State> LayerComputation::run_both_directions(at::TensorList weights,
                                                                      torch::Tensor x,
                                                                      const State& state,
                                                                      double dropout) {
  constexpr std::size_t kWeights = 4;
  std::vector<State> after(state.size());
  for (std::size_t i = 0; i < stacks_.size(); i += 2) {
    std::vector<torch::Tensor> outputs;
    for (const std::size_t k : {i, i + 1}) {
      const bool backward = k > i;
      auto [h, last] = run_stack(k, weights.slice(kWeights * k, kWeights), backward ? x.flip(0) : x,
                                 state_of_layer(state, static_cast<int64_t>(k)), dropout);
      outputs.push_back(backward ? h.flip(0) : h);
      for (std::size_t s = 0; s < last.size(); ++s) {
        after[s].push_back(last[s]);
      }
    }
    x = torch::cat(outputs, 2);
    if (dropout > 0 && i + 2 < stacks_.size()) {
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

#include <torch/types.h>

#include <string>
#include <vector>

#include "base/formatted.h"
#include "models/cell_kind.h"
#include "models/weight_shapes.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// The table of a cell that torch::nn computes too: the GRU with the reset after the product.
CellTable torch_table(Cell cell) {
  return table_of(cell_kind({.model = ModelKind::kConcise, .cell = cell}));
}

// Whether torch::nn's second bias of this gate is no part of a sum: it is under the reset gate.
bool has_own_b_hh(const CellTable& table, int gate) {
  return table.has_b_hh && gate + 1 == table.gate_count;
}

// Whether two biases that torch::nn adds are added here too: values are, gradients are equal.
enum class TwoBiases { kAdd, kTakeFirst };

NamedTensors to_scratch_layout(const ModelConfig& config, const NamedTensors& tensors,
                               TwoBiases two_biases) {
  if (config.layers != 1) {
    throw UsageError(formatted("a scratch model has 1 layer, got {}", config.layers));
  }
  const int64_t V = tensors.empty() ? 0 : tensors.back().tensor.numel();  // of the last bias
  check_weights(config, V, tensors);
  if (resolved(config).model == ModelKind::kScratch) {
    return tensors;
  }
  const auto table = torch_table(config.cell);
  const auto W_ih = tensor_named(tensors, "rnn.weight_ih_l0").chunk(table.gate_count);
  const auto W_hh = tensor_named(tensors, "rnn.weight_hh_l0").chunk(table.gate_count);
  const auto b_ih = tensor_named(tensors, "rnn.bias_ih_l0").chunk(table.gate_count);
  const auto b_hh = tensor_named(tensors, "rnn.bias_hh_l0").chunk(table.gate_count);

  NamedTensors result;
  for (int g = 0; g < table.gate_count; ++g) {
    const std::string suffix = table.gates[g].suffix;
    const auto k = static_cast<std::size_t>(table.gates[g].torch_position);
    const bool apart = has_own_b_hh(table, g);
    result.push_back({"W_x" + suffix, W_ih[k].t()});
    result.push_back({"W_h" + suffix, W_hh[k].t()});
    result.push_back({"b_" + suffix,
                      apart || two_biases == TwoBiases::kTakeFirst ? b_ih[k] : b_ih[k] + b_hh[k]});
    if (apart) {
      result.push_back({"b_hh", b_hh[k]});
    }
  }
  result.push_back({"W_hq", tensor_named(tensors, "linear.weight").t()});
  result.push_back({"b_q", tensor_named(tensors, "linear.bias")});
  return result;
}

}  // namespace

NamedTensors scratch_weights(const ModelConfig& config, const NamedTensors& weights) {
  const torch::NoGradGuard no_grad;
  return to_scratch_layout(config, weights, TwoBiases::kAdd);
}

NamedTensors scratch_gradients(const ModelConfig& config, const NamedTensors& weights) {
  const torch::NoGradGuard no_grad;
  NamedTensors gradients;
  for (const auto& [name, tensor] : weights) {
    gradients.push_back(
        {name, tensor.grad().defined() ? tensor.grad() : torch::zeros_like(tensor)});
  }
  return to_scratch_layout(config, gradients, TwoBiases::kTakeFirst);
}

NamedTensors concise_weights(Cell cell, const NamedTensors& scratch) {
  const torch::NoGradGuard no_grad;
  const auto table = torch_table(cell);
  const auto& W_hq = tensor_named(scratch, "W_hq");
  auto config = scratch_config(cell_kind({.model = ModelKind::kConcise, .cell = cell}));
  config.hidden = W_hq.dim() == 2 ? W_hq.size(0) : 0;
  check_weights(config, tensor_named(scratch, "b_q").numel(), scratch);
  const auto count = static_cast<std::size_t>(table.gate_count);
  std::vector<torch::Tensor> W_ih(count);
  std::vector<torch::Tensor> W_hh(count);
  std::vector<torch::Tensor> b_ih(count);
  std::vector<torch::Tensor> b_hh(count);
  for (int g = 0; g < table.gate_count; ++g) {
    const std::string suffix = table.gates[g].suffix;
    const auto k = static_cast<std::size_t>(table.gates[g].torch_position);
    W_ih[k] = tensor_named(scratch, "W_x" + suffix).t();
    W_hh[k] = tensor_named(scratch, "W_h" + suffix).t();
    b_ih[k] = tensor_named(scratch, "b_" + suffix);
    b_hh[k] = has_own_b_hh(table, g) ? tensor_named(scratch, "b_hh") : torch::zeros_like(b_ih[k]);
  }
  return {{"rnn.weight_ih_l0", torch::cat(W_ih)},   {"rnn.weight_hh_l0", torch::cat(W_hh)},
          {"rnn.bias_ih_l0", torch::cat(b_ih)},     {"rnn.bias_hh_l0", torch::cat(b_hh)},
          {"linear.weight", W_hq.t().contiguous()}, {"linear.bias", tensor_named(scratch, "b_q")}};
}

}  // namespace unroll

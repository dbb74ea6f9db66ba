#include <torch/types.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// How a cell's gates are called here (suffixes of W_x, W_h and b_) and in which order.
struct Gates {
  std::vector<std::string> torch_order;  // as torch::nn stacks them along dimension 0
  std::vector<std::string> order;        // the notebook's
  bool has_b_hh = false;                 // a bias under the reset gate, after b_h
};

Gates gates_of(Cell cell) {
  switch (cell) {
    case Cell::kRnn:
      return {{"h"}, {"h"}};
    case Cell::kGru:
      return {{"r", "z", "h"}, {"z", "r", "h"}, true};
    case Cell::kLstm:
      return {{"i", "f", "c", "o"}, {"i", "f", "o", "c"}};
    case Cell::kMlp:
      break;
  }
  throw UsageError("torch::nn has no mlp cell; choose rnn, gru or lstm");
}

// Whether two biases that torch::nn adds are added here too: values are, gradients are equal.
enum class TwoBiases { kAdd, kTakeFirst };

NamedTensors to_scratch_layout(const ModelConfig& config, const NamedTensors& tensors,
                               TwoBiases two_biases) {
  if (config.layers != 1) {
    throw UsageError(formatted("a scratch model has 1 layer, got {}", config.layers));
  }
  if (parameter_model(config).model == ModelKind::kScratch) {
    return tensors;
  }
  const Gates gates = gates_of(config.cell);
  const auto count = static_cast<int64_t>(gates.torch_order.size());
  const auto W_ih = tensor_named(tensors, "rnn.weight_ih_l0").chunk(count);
  const auto W_hh = tensor_named(tensors, "rnn.weight_hh_l0").chunk(count);
  const auto b_ih = tensor_named(tensors, "rnn.bias_ih_l0").chunk(count);
  const auto b_hh = tensor_named(tensors, "rnn.bias_hh_l0").chunk(count);

  NamedTensors result;
  for (const auto& gate : gates.order) {
    const auto k = static_cast<std::size_t>(
        std::find(gates.torch_order.begin(), gates.torch_order.end(), gate) -
        gates.torch_order.begin());
    const bool apart = gates.has_b_hh && gate == "h";
    result.push_back({"W_x" + gate, W_ih[k].t()});
    result.push_back({"W_h" + gate, W_hh[k].t()});
    result.push_back(
        {"b_" + gate, apart || two_biases == TwoBiases::kTakeFirst ? b_ih[k] : b_ih[k] + b_hh[k]});
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
  const Gates gates = gates_of(cell);
  std::vector<torch::Tensor> W_ih;
  std::vector<torch::Tensor> W_hh;
  std::vector<torch::Tensor> b_ih;
  std::vector<torch::Tensor> b_hh;
  for (const auto& gate : gates.torch_order) {
    W_ih.push_back(tensor_named(scratch, "W_x" + gate).t());
    W_hh.push_back(tensor_named(scratch, "W_h" + gate).t());
    b_ih.push_back(tensor_named(scratch, "b_" + gate));
    b_hh.push_back(gates.has_b_hh && gate == "h" ? tensor_named(scratch, "b_hh")
                                                 : torch::zeros_like(b_ih.back()));
  }
  return {{"rnn.weight_ih_l0", torch::cat(W_ih)},
          {"rnn.weight_hh_l0", torch::cat(W_hh)},
          {"rnn.bias_ih_l0", torch::cat(b_ih)},
          {"rnn.bias_hh_l0", torch::cat(b_hh)},
          {"linear.weight", tensor_named(scratch, "W_hq").t().contiguous()},
          {"linear.bias", tensor_named(scratch, "b_q")}};
}

}  // namespace unroll

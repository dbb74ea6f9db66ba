#include "layers/layout.h"

#include <utility>

#include "base/formatted.h"
#include "models/arguments.h"
#include "models/cell_kind.h"
#include "unroll/error.h"

namespace unroll {

namespace {

cpu::StridedMatrix matrix(const torch::Tensor& tensor, int64_t rows, int64_t columns) {
  check_shape(tensor, {rows, columns}, "a weight");
  return {tensor.data_ptr<float>(), rows, columns, tensor.stride(0), tensor.stride(1)};
}

float* bias(const torch::Tensor& tensor, int64_t size) {
  check_shape(tensor, {size}, "a bias");
  if (!tensor.is_contiguous()) {
    throw Error("a bias must be contiguous");
  }
  return tensor.data_ptr<float>();
}

at::IntArrayRef matrix_sizes(const torch::Tensor& weight) {
  if (weight.dim() != 2) {
    throw Error(formatted("a weight must have 2 dimensions, got {}", weight.dim()));
  }
  return weight.sizes();
}

}  // namespace

Layout layout_of(const ModelConfig& config) {
  return {.cell = cell_kind(config),
          .concise = resolved(config).model == ModelKind::kConcise,
          .layers = config.layers};
}

std::size_t layer_weight_count(const Layout& layout) {
  const auto layers = static_cast<std::size_t>(layout.layers);
  const auto gates = static_cast<std::size_t>(gate_count(layout.cell));
  return layout.concise ? 4 * layers : 3 * gates + (table_of(layout.cell).has_b_hh ? 1 : 0);
}

std::size_t weight_count(const Layout& layout) { return layer_weight_count(layout) + 2; }

std::size_t state_count(const Layout& layout) {
  return static_cast<std::size_t>(table_of(layout.cell).state_count);
}

void check_weight_count(const Layout& layout, std::size_t count) {
  if (count != weight_count(layout)) {
    throw Error(formatted("this model has {} weights, got {}", weight_count(layout), count));
  }
}

bool has_row_of_each_token(const Layout& layout, std::size_t i) {
  const auto gates = static_cast<std::size_t>(gate_count(layout.cell));
  return layout.concise ? i == 0 : i < 3 * gates && i % 3 == 0;
}

int64_t hidden_of(const Layout& layout, at::TensorList weights) {
  return matrix_sizes(weights[1])[layout.concise ? 1 : 0];
}

int64_t inputs_of(const Layout& layout, at::TensorList weights) {
  return matrix_sizes(weights[0])[layout.concise ? 1 : 0];
}

void check_states(const Layout& layout, const State& states, int64_t B, int64_t H,
                  const torch::Tensor& weight) {
  StateForm(state_count(layout),
            layout.concise ? std::vector{layout.layers, B, H} : std::vector{B, H})
      .check(states, B, weight);
}

at::TensorList weights_of_layer(const Layout& layout, at::TensorList weights, int64_t l) {
  if (l == layout.layers) {
    return weights.slice(layer_weight_count(layout), 2);
  }
  return layout.concise ? weights.slice(static_cast<std::size_t>(4 * l), 4)
                        : weights.slice(0, layer_weight_count(layout));
}

LayerTensors layer_tensors(const Layout& layout, at::TensorList own, int64_t H) {
  const auto table = table_of(layout.cell);
  LayerTensors layer;
  if (!layout.concise) {
    std::size_t i = 0;
    for (int g = 0; g < table.gate_count; ++g, i += 3) {
      layer.gates.push_back({.W_x = own[i], .W_h = own[i + 1], .b = own[i + 2], .b_again = {}});
    }
    if (table.has_b_hh) {
      layer.b_hh = own[i];
    }
    return layer;
  }
  // weight_ih (GH,inputs), weight_hh (GH,H), bias_ih and bias_hh (GH), in torch::nn's order.
  check_shape(own[0], {table.gate_count * H, own[0].size(-1)}, "weight_ih");
  for (int g = 0; g < table.gate_count; ++g) {
    const auto of_gate = [&](const torch::Tensor& stack) {
      return stack.narrow(0, table.gates[g].torch_position * H, H);
    };
    layer.gates.push_back({.W_x = of_gate(own[0]).t(),
                           .W_h = of_gate(own[1]).t(),
                           .b = of_gate(own[2]),
                           .b_again = of_gate(own[3])});
  }
  if (table.has_b_hh) {
    std::swap(layer.b_hh, layer.gates.back().b_again);
  }
  return layer;
}

std::vector<cpu::LayerParameters> layer_parameters_of(const Layout& layout,
                                                      at::TensorList tensors) {
  std::vector<cpu::LayerParameters> parameters;
  const int64_t H = hidden_of(layout, tensors);
  for (int64_t l = 0; l < layout.layers; ++l) {
    const int64_t inputs = l > 0 ? H : inputs_of(layout, tensors);
    auto& layer = parameters.emplace_back();
    const auto own = layer_tensors(layout, weights_of_layer(layout, tensors, l), H);
    for (const auto& gate : own.gates) {
      layer.gates.push_back({.W_x = matrix(gate.W_x, inputs, H),
                             .W_h = matrix(gate.W_h, H, H),
                             .b = bias(gate.b, H),
                             .b_again = gate.b_again.defined() ? bias(gate.b_again, H) : nullptr});
    }
    layer.b_hh = own.b_hh.defined() ? bias(own.b_hh, H) : nullptr;
  }
  return parameters;
}

cpu::ModelParameters parameters_of(const Layout& layout, at::TensorList tensors) {
  check_weight_count(layout, tensors.size());
  const auto& stored = tensors[tensors.size() - 2];
  const auto W_hq = layout.concise ? stored.t() : stored;
  const int64_t V = tensors.back().numel();
  return {.layers = layer_parameters_of(layout, tensors),
          .output = {.W_hq = matrix(W_hq, hidden_of(layout, tensors), V),
                     .b_q = bias(tensors.back(), V)}};
}

}  // namespace unroll

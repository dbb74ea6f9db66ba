#include "fused/torch_layers.h"

#include <ATen/ops/gru.h>
#include <ATen/ops/lstm.h>
#include <ATen/ops/rnn_relu.h>
#include <ATen/ops/rnn_tanh.h>

#include <cstddef>
#include <vector>

#include "tensors/one_hot.h"

namespace unroll {
namespace {

using Tensors = std::vector<torch::Tensor>;

// A layer's weight_ih (GH,inputs), weight_hh (GH,H), bias_ih and bias_hh (GH), in torch::nn's order
// of gates.
Tensors torch_weights(const Layout& layout, at::TensorList weights, int64_t l) {
  const auto own = weights_of_layer(layout, weights, l);
  if (layout.concise) {
    return own.vec();
  }
  const auto table = table_of(layout.cell);
  const auto layer = layer_tensors(layout, own, hidden_of(layout, weights));
  const auto count = static_cast<std::size_t>(table.gate_count);
  Tensors W_x(count);
  Tensors W_h(count);
  Tensors b(count);
  Tensors b_again(count);
  for (std::size_t g = 0; g < count; ++g) {
    const auto at = static_cast<std::size_t>(table.gates[g].torch_position);
    const auto& gate = layer.gates[g];
    W_x[at] = gate.W_x.t();
    W_h[at] = gate.W_h.t();
    b[at] = gate.b;
    b_again[at] = torch::zeros_like(gate.b);
  }
  if (layer.b_hh.defined()) {
    b_again[static_cast<std::size_t>(table.gates[count - 1].torch_position)] = layer.b_hh;
  }
  return {torch::cat(W_x), torch::cat(W_h), torch::cat(b), torch::cat(b_again)};
}

// The layers' weights as cuDNN wants them: in one piece of memory, all matrices before all biases.
// Else it would copy them there at each call, with a warning.
Tensors in_one_piece(const std::vector<Tensors>& layers, torch::ScalarType type) {
  Tensors pieces;
  std::vector<int64_t> sizes;
  for (const std::size_t first : {0, 2}) {
    for (const auto& layer : layers) {
      for (std::size_t i = first; i < first + 2; ++i) {
        pieces.push_back(layer[i].reshape({-1}));
        sizes.push_back(layer[i].numel());
      }
    }
  }
  const auto flat = torch::cat(pieces).to(type).split_with_sizes(sizes);
  Tensors result;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    for (std::size_t i = 0; i < 4; ++i) {
      const auto at = (i < 2 ? 0 : 2 * layers.size()) + 2 * l + i % 2;
      result.push_back(flat[at].view(layers[l][i].sizes()));
    }
  }
  return result;
}

}  // namespace

std::pair<torch::Tensor, State> run_by_torch_layers(const Layout& layout, at::TensorList weights,
                                                    const torch::Tensor& X, const State& state,
                                                    double dropout, Precision precision) {
  check_states(layout, state, X.size(0), hidden_of(layout, weights), weights.back());
  const auto& b_q = weights.back();
  const auto& W_hq = weights[weights.size() - 2];
  const auto type = precision == Precision::kBf16 ? torch::kBFloat16 : b_q.scalar_type();
  std::vector<Tensors> layers;
  layers.reserve(static_cast<std::size_t>(layout.layers));
  for (int64_t l = 0; l < layout.layers; ++l) {
    layers.push_back(torch_weights(layout, weights, l));
  }
  const auto params = in_one_piece(layers, type);
  const auto inputs = one_hot(X.t(), b_q.numel(), type);
  State before;
  for (const auto& s : state) {
    before.push_back((layout.concise ? s : s.unsqueeze(0)).to(type).contiguous());
  }
  // Without it cuDNN keeps nothing for the way back.
  const bool trains = torch::GradMode::is_enabled() || dropout > 0;
  const auto with = [&](const auto& function, const auto& hx) {
    return function(inputs, hx, params, /*has_biases=*/true, layout.layers, dropout, trains,
                    /*bidirectional=*/false, /*batch_first=*/false);
  };
  torch::Tensor h;
  State after;
  if (has_c(layout.cell)) {
    auto [all, last, c] = with([](auto&&... a) { return at::lstm(a...); }, at::TensorList(before));
    h = all;
    after = {last, c};
  } else {
    auto [all, last] = with(
        [&](auto&&... a) {
          return layout.cell == CellKind::kRnn       ? at::rnn_tanh(a...)
                 : layout.cell == CellKind::kRnnRelu ? at::rnn_relu(a...)
                                                     : at::gru(a...);
        },
        before.front());
    h = all;
    after = {last};
  }
  for (auto& s : after) {
    s = (layout.concise ? s : s.squeeze(0)).to(b_q.scalar_type());
  }
  const auto outputs = h.reshape({-1, h.size(-1)}).to(b_q.scalar_type());
  return {torch::addmm(b_q, outputs, layout.concise ? W_hq.t() : W_hq), std::move(after)};
}

}  // namespace unroll

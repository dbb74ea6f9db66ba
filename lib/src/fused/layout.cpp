#include "fused/layout.h"

#include <vector>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

namespace {

CellKind kind_of(const ModelConfig& config) {
  switch (config.cell) {
    case Cell::kRnn:
      return CellKind::kRnn;
    case Cell::kLstm:
      return CellKind::kLstm;
    case Cell::kGru:
      return gru_reset(config) == GruReset::kBefore ? CellKind::kGruBefore : CellKind::kGruAfter;
    case Cell::kMlp:
      break;
  }
  throw UsageError("the mlp cell has no recurrence to fuse; choose rnn, gru or lstm");
}

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

// One layer of torch::nn: weight_ih (GH,inputs), weight_hh (GH,H), bias_ih and bias_hh (GH).
cpu::LayerParameters concise_layer(CellKind cell, const torch::Tensor* tensors, int64_t inputs,
                                   int64_t H) {
  const int64_t gates = gate_count(cell);
  check_shape(tensors[0], {gates * H, inputs}, "weight_ih");
  const auto rows = [&](const torch::Tensor& stack, int64_t gate) {
    return stack.narrow(0, gate * H, H);
  };
  cpu::LayerParameters layer;
  const auto order = torch_order(cell);
  for (int64_t g = 0; g < gates; ++g) {
    const bool inside_reset = cell == CellKind::kGruAfter && g == 2;
    auto* b_hh = bias(rows(tensors[3], order[g]), H);
    layer.gates.push_back({.W_x = matrix(rows(tensors[0], order[g]).t(), inputs, H),
                           .W_h = matrix(rows(tensors[1], order[g]).t(), H, H),
                           .b = bias(rows(tensors[2], order[g]), H),
                           .b_again = inside_reset ? nullptr : b_hh});
    if (inside_reset) {
      layer.b_hh = b_hh;
    }
  }
  return layer;
}

// W_x (inputs,H), W_h (H,H) and b (H) of each gate, then b_hh (H) if the reset comes after.
cpu::LayerParameters scratch_layer(CellKind cell, const torch::Tensor* tensors, int64_t inputs,
                                   int64_t H) {
  cpu::LayerParameters layer;
  for (int64_t g = 0; g < gate_count(cell); ++g, tensors += 3) {
    layer.gates.push_back({.W_x = matrix(tensors[0], inputs, H),
                           .W_h = matrix(tensors[1], H, H),
                           .b = bias(tensors[2], H)});
  }
  if (cell == CellKind::kGruAfter) {
    layer.b_hh = bias(*tensors, H);
  }
  return layer;
}

}  // namespace

std::vector<int64_t> torch_order(CellKind cell) {
  switch (cell) {
    case CellKind::kLstm:
      return {0, 1, 3, 2};  // i, f, o, g of i, f, g, o
    case CellKind::kGruBefore:
    case CellKind::kGruAfter:
      return {1, 0, 2};  // z, r, n of r, z, n
    case CellKind::kRnn:
      break;
  }
  return {0};
}

Layout layout_of(const ModelConfig& config) {
  return {.cell = kind_of(config),
          .concise = config.model == ModelKind::kConcise,
          .layers = config.layers};
}

std::size_t weight_count(const Layout& layout) {
  const auto layers = static_cast<std::size_t>(layout.layers);
  const auto gates = static_cast<std::size_t>(gate_count(layout.cell));
  return 2 +
         (layout.concise ? 4 * layers : 3 * gates + (layout.cell == CellKind::kGruAfter ? 1 : 0));
}

std::size_t state_count(const Layout& layout) { return layout.cell == CellKind::kLstm ? 2 : 1; }

bool has_row_of_each_token(const Layout& layout, std::size_t i) {
  const auto gates = static_cast<std::size_t>(gate_count(layout.cell));
  return layout.concise ? i == 0 : i < 3 * gates && i % 3 == 0;
}

int64_t hidden_of(const Layout& layout, at::TensorList weights) {
  if (weights.size() != weight_count(layout)) {
    throw Error(
        formatted("this model has {} weights, got {}", weight_count(layout), weights.size()));
  }
  const auto& W_hq = weights[weights.size() - 2];
  if (W_hq.dim() != 2) {
    throw Error(formatted("the output layer's weight must have 2 dimensions, got {}", W_hq.dim()));
  }
  return W_hq.size(layout.concise ? 1 : 0);
}

void check_shape(const torch::Tensor& tensor, at::IntArrayRef expected, std::string_view what) {
  if (tensor.sizes() != expected) {
    throw Error(formatted("{} must have shape [{}], got [{}]", what, joined(expected, ", "),
                          joined(tensor.sizes(), ", ")));
  }
}

cpu::ModelParameters parameters_of(const Layout& layout, at::TensorList tensors) {
  cpu::ModelParameters parameters;
  hidden_of(layout, tensors);  // throws unless all are there
  const auto& stored = tensors[tensors.size() - 2];
  const auto W_hq = layout.concise ? stored.t() : stored;
  const int64_t H = W_hq.size(0);
  const int64_t V = W_hq.size(1);
  parameters.output = {.W_hq = matrix(W_hq, H, V), .b_q = bias(tensors.back(), V)};
  for (int64_t l = 0; l < layout.layers; ++l) {
    const int64_t inputs = l > 0 ? H : tensors[0].size(layout.concise ? 1 : 0);
    parameters.layers.push_back(layout.concise
                                    ? concise_layer(layout.cell, &tensors[4 * l], inputs, H)
                                    : scratch_layer(layout.cell, tensors.data(), inputs, H));
  }
  return parameters;
}

}  // namespace unroll

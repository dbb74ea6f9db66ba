#include "layers/packed_layer.h"

#include <utility>

#include "layers/tensor_pointers.h"

namespace unroll {
namespace {

// A matrix in the place of `wanted` if it lies there as one, else in a room of its own.
torch::Tensor room_for(const torch::Tensor& wanted, bool is_alone, at::IntArrayRef sizes) {
  return is_alone && wanted.is_contiguous() ? wanted : torch::empty(sizes, wanted.options());
}

std::vector<torch::Tensor> rooms_like(const std::vector<torch::Tensor>& weights) {
  std::vector<torch::Tensor> rooms;
  rooms.reserve(weights.size());
  for (const auto& weight : weights) {
    rooms.push_back(torch::empty(weight.sizes(), weight.options()));
  }
  return rooms;
}

}  // namespace

PackedLayer pack_layer(const Layout& layout, at::TensorList own, int64_t H, PackedFor wanted,
                       MatrixCopies& copies) {
  const auto layer = layer_tensors(layout, own, H);
  const auto& first_gate = layer.gates.front();
  const auto gates = static_cast<int64_t>(layer.gates.size());
  const bool is_alone = gates == 1;
  const int64_t inputs = first_gate.W_x.size(0);
  const auto room = [&](int64_t rows, int64_t columns) {
    return torch::empty({rows, columns}, first_gate.W_x.options());
  };
  PackedLayer packed{.W_x = wanted.tokens ? room(inputs, gates * H)
                                          : room_for(first_gate.W_x, is_alone, {inputs, gates * H}),
                     .b = wanted.tokens ? torch::Tensor() : room(1, gates * H).squeeze(0),
                     .W_h = room_for(first_gate.W_h, is_alone, {H, gates * H}),
                     .W_h_t = wanted.backward
                                  ? room_for(first_gate.W_h.t(), is_alone, {gates * H, H})
                                  : torch::Tensor(),
                     .b_hh = contiguous_or_undefined(layer.b_hh)};
  const auto copy = [&](const torch::Tensor& from, const torch::Tensor& to) {
    if (from.const_data_ptr<float>() != to.const_data_ptr<float>()) {
      copies.add(from, to);
    }
  };
  int64_t first = 0;
  for (const auto& gate : layer.gates) {
    const auto W_x = packed.W_x.narrow(1, first, H);
    if (wanted.tokens) {
      copies.add(gate.W_x, W_x, gate.b, gate.b_again);
    } else {
      copy(gate.W_x, W_x);
      copies.add_row(gate.b, packed.b.narrow(0, first, H), gate.b_again);
    }
    copy(gate.W_h, packed.W_h.narrow(1, first, H));
    if (wanted.backward) {
      copy(gate.W_h.t(), packed.W_h_t.narrow(0, first, H));
    }
    first += H;
  }
  return packed;
}

PackedGradients::PackedGradients(const Layout& layout, const std::vector<torch::Tensor>& own,
                                 int64_t H)
    : gradients_(rooms_like(own)), layer_(layer_tensors(layout, gradients_, H)), H_(H) {
  const auto& first = layer_.gates.front();
  const auto gates = static_cast<int64_t>(layer_.gates.size());
  const bool is_alone = gates == 1 && !first.b_again.defined();
  W_x = room_for(first.W_x, is_alone, {first.W_x.size(0), gates * H});
  W_h = room_for(first.W_h, is_alone, {H, gates * H});
  b = room_for(first.b, is_alone, {gates * H});
  b_hh = layer_.b_hh;
}

std::vector<torch::Tensor> PackedGradients::take(const CudaKernels& kernels) {
  MatrixCopies copies;
  int64_t first = 0;
  for (const auto& gate : layer_.gates) {
    if (!W_x.is_same(gate.W_x)) {
      copies.add(W_x.narrow(1, first, H_), gate.W_x);
    }
    if (!W_h.is_same(gate.W_h)) {
      copies.add(W_h.narrow(1, first, H_), gate.W_h);
    }
    for (const auto& bias : {gate.b, gate.b_again}) {
      if (bias.defined() && !b.is_same(bias)) {
        copies.add_row(b.narrow(0, first, H_), bias);
      }
    }
    first += H_;
  }
  copies.run(kernels, b.device());
  return std::move(gradients_);
}

}  // namespace unroll

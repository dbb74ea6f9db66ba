#pragma once

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

#include "base/formatted.h"
#include "kernels/cell_table.h"
#include "models/arguments.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {

/// Draws a scratch model's parameters one by one, in the order of the calls.
class ScratchParams {
 public:
  explicit ScratchParams(torch::Device device) : options_(torch::TensorOptions().device(device)) {}

  /// A matrix drawn from N(0,1) * 0.01 on the device's default generator.
  ScratchParams& normal(std::string name, int64_t rows, int64_t columns) {
    return add(std::move(name), torch::randn({rows, columns}, options_) * 0.01);
  }

  ScratchParams& zeros(std::string name, int64_t size) {
    return add(std::move(name), torch::zeros(size, options_));
  }

  /// W_x. (V,H), W_h. (H,H) and b_. (H) of one gate.
  ScratchParams& gate(const std::string& suffix, int64_t vocab_size, int64_t num_hiddens) {
    return normal("W_x" + suffix, vocab_size, num_hiddens)
        .normal("W_h" + suffix, num_hiddens, num_hiddens)
        .zeros("b_" + suffix, num_hiddens);
  }

  /// All of them, in the order drawn.
  NamedTensors all() const { return params_; }

 private:
  ScratchParams& add(std::string name, const torch::Tensor& tensor) {
    params_.push_back({std::move(name), tensor.requires_grad_(true)});
    return *this;
  }

  torch::TensorOptions options_;
  NamedTensors params_;
};

/// W_x., W_h. and b_. of each gate in the order of the cell's table, b_hh where it has one, then
/// W_hq (H,V) and b_q (V).
inline NamedTensors draw_params(CellKind cell, int64_t vocab_size, int64_t num_hiddens,
                                torch::Device device) {
  const auto table = table_of(cell);
  ScratchParams params(device);
  for (int g = 0; g < table.gate_count; ++g) {
    params.gate(table.gates[g].suffix, vocab_size, num_hiddens);
  }
  if (table.has_b_hh) {
    params.zeros("b_hh", num_hiddens);
  }
  return params.normal("W_hq", num_hiddens, vocab_size).zeros("b_q", vocab_size).all();
}

/// (B,H) tensors of zeros, as many as the cell has states.
inline State zero_state(CellKind cell, int64_t batch_size, int64_t num_hiddens,
                        torch::Device device) {
  State state;
  for (int i = 0; i < table_of(cell).state_count; ++i) {
    state.push_back(torch::zeros({batch_size, num_hiddens}, device));
  }
  return state;
}

/// The parameters as an array, for `auto [W_xh, W_hh, ...] = unpack<N>(params)`.
/// Throws Error unless there are N of them.
template <std::size_t N>
std::array<torch::Tensor, N> unpack(const NamedTensors& params) {
  if (params.size() != N) {
    throw Error(formatted("this cell has {} parameters, got {}", N, params.size()));
  }
  std::array<torch::Tensor, N> tensors;
  for (std::size_t i = 0; i < N; ++i) {
    tensors[i] = params[i].tensor;
  }
  return tensors;
}

/// The states as an array, likewise: N of them, each (B,H), as inputs (T,B,V) and the parameters
/// have it, whose last but one is W_hq (H,V). Throws Error for others.
template <std::size_t N>
std::array<torch::Tensor, N> unpack_state(const State& state, const torch::Tensor& inputs,
                                          const NamedTensors& params) {
  StateForm(N, {inputs.size(1), params[params.size() - 2].tensor.size(0)})
      .check(state, inputs.size(1), params.back().tensor);
  std::array<torch::Tensor, N> tensors;
  std::copy(state.begin(), state.end(), tensors.begin());
  return tensors;
}

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/formatted.h"
#include "kernels/cell_table.h"
#include "models/arguments.h"
#include "models/weight_shapes.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {

/// The parameters of such a scratch model: matrices drawn from N(0,1) * 0.01 on the device's
/// default generator, in the model's order, and biases of zeros.
inline NamedTensors draw_params(ModelConfig config, int64_t vocab_size, int64_t num_hiddens,
                                torch::Device device) {
  config.hidden = num_hiddens;
  NamedTensors params;
  for (const auto& [name, sizes] : weight_shapes(config, vocab_size)) {
    const bool is_matrix = sizes.size() == 2;
    const auto values =
        is_matrix ? torch::randn(sizes, device) * 0.01 : torch::zeros(sizes, device);
    params.push_back({name, values.requires_grad_(true)});
  }
  return params;
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

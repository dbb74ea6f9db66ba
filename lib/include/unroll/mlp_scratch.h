#pragma once

#include <torch/types.h>

#include <cstdint>
#include <utility>

#include "unroll/model.h"

namespace unroll {

/// The RNN's parameters without W_hh: W_xh (V,H), b_h (H), W_hq (H,V), b_q (V).
NamedTensors get_mlp_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device);

/// Nothing: without W_hh nothing is remembered.
State init_mlp_state(int64_t batch_size, int64_t num_hiddens, torch::Device device);

/// The ablation that shows what W_hh is for: H_t = tanh(X_t W_xh + b_h), O_t = H_t W_hq + b_q.
///
/// inputs (T,B,V) one-hot floats -> outputs (T*B,V) and an empty state.
std::pair<torch::Tensor, State> mlp(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params);

}  // namespace unroll

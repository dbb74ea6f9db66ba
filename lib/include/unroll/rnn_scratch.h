#pragma once

#include <torch/types.h>

#include <cstdint>
#include <utility>

#include "unroll/model.h"

namespace unroll {

/// The parameters of the notebook's RNN: W_xh (V,H), W_hh (H,H), b_h (H), W_hq (H,V), b_q (V).
///
/// W_xh, W_hh and W_hq are drawn, in that order, from N(0,1) * 0.01 on the device's default
/// generator; the biases are zero. All require gradients.
NamedTensors get_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device);

/// One (B,H) tensor of zeros.
State init_rnn_state(int64_t batch_size, int64_t num_hiddens, torch::Device device);

/// H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h), O_t = H_t W_hq + b_q, for t = 1..T.
///
/// inputs (T,B,V) one-hot floats, state {H (B,H)} -> outputs (T*B,V) and the new state.
std::pair<torch::Tensor, State> rnn(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params);

}  // namespace unroll

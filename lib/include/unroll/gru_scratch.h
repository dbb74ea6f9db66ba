#pragma once

#include <torch/types.h>

#include <cstdint>
#include <utility>

#include "unroll/model.h"

namespace unroll {

/// The parameters of the notebook's GRU: W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_h W_hq b_q, with
/// W_x. (V,H), W_h. (H,H), b_. (H), W_hq (H,V), b_q (V). Drawn as the RNN's, in this order.
NamedTensors get_gru_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device);

/// The same with b_hh (H), zero, after b_h: the bias that gru_reset_after puts under the reset
/// gate.
NamedTensors get_gru_reset_after_params(int64_t vocab_size, int64_t num_hiddens,
                                        torch::Device device);

/// One (B,H) tensor of zeros.
State init_gru_state(int64_t batch_size, int64_t num_hiddens, torch::Device device);

/// The book's GRU, the reset gate before the product:
///
///     Z = sigmoid(X W_xz + H W_hz + b_z),  R = sigmoid(X W_xr + H W_hr + b_r)
///     C = tanh(X W_xh + (R*H) W_hh + b_h), H' = Z*H + (1-Z)*C, O = H' W_hq + b_q
///
/// inputs (T,B,V) one-hot floats, state {H (B,H)} -> outputs (T*B,V) and the new state.
/// Cho et al. 2014, https://arxiv.org/abs/1406.1078
std::pair<torch::Tensor, State> gru(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params);

/// torch::nn::GRU's form, the reset gate after the product: C = tanh(X W_xh + b_h + R*(H W_hh +
/// b_hh)).
std::pair<torch::Tensor, State> gru_reset_after(const torch::Tensor& inputs, const State& state,
                                                const NamedTensors& params);

}  // namespace unroll

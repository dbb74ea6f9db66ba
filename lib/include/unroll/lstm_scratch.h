#pragma once

#include <torch/types.h>

#include <cstdint>
#include <utility>

#include "unroll/model.h"

namespace unroll {

/// The parameters of the notebook's LSTM: gates i, f, o, then the candidate c, each (W_x. (V,H),
/// W_h. (H,H), b_. (H)), then W_hq (H,V), b_q (V). Drawn as the RNN's, in this order.
NamedTensors get_lstm_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device);

/// Two (B,H) tensors of zeros: the hidden state and the memory cell.
State init_lstm_state(int64_t batch_size, int64_t num_hiddens, torch::Device device);

/// I, F, O = sigmoid(X W_x. + H W_h. + b_.),  G = tanh(X W_xc + H W_hc + b_c)
/// C' = F*C + I*G,  H' = O*tanh(C'),  output H' W_hq + b_q
///
/// inputs (T,B,V) one-hot floats, state {H (B,H), C (B,H)} -> outputs (T*B,V) and the new state.
/// Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
std::pair<torch::Tensor, State> lstm(const torch::Tensor& inputs, const State& state,
                                     const NamedTensors& params);

}  // namespace unroll

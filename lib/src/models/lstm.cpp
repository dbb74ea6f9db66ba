#include <vector>

#include "models/cell_kind.h"
#include "models/scratch_params.h"
#include "unroll/scratch.h"

namespace unroll {

NamedTensors get_lstm_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device) {
  return draw_params(scratch_config(CellKind::kLstm), vocab_size, num_hiddens, device);
}

State init_lstm_state(int64_t batch_size, int64_t num_hiddens, torch::Device device) {
  return zero_state(CellKind::kLstm, batch_size, num_hiddens, device);
}

std::pair<torch::Tensor, State> lstm(const torch::Tensor& inputs, const State& state,
                                     const NamedTensors& params) {
  const auto [W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q] =
      unpack<14>(params);
  auto [H, C] = unpack_state<2>(state, inputs, params);
  std::vector<torch::Tensor> outputs;
  for (const auto& X : inputs.unbind(0)) {
    const auto I = torch::sigmoid(torch::mm(X, W_xi) + torch::mm(H, W_hi) + b_i);
    const auto F = torch::sigmoid(torch::mm(X, W_xf) + torch::mm(H, W_hf) + b_f);
    const auto O = torch::sigmoid(torch::mm(X, W_xo) + torch::mm(H, W_ho) + b_o);
    const auto G = torch::tanh(torch::mm(X, W_xc) + torch::mm(H, W_hc) + b_c);
    C = F * C + I * G;
    H = O * torch::tanh(C);
    outputs.push_back(torch::mm(H, W_hq) + b_q);
  }
  return {torch::cat(outputs, 0), {H, C}};
}

}  // namespace unroll

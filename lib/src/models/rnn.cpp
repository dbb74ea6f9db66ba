#include <vector>

#include "models/scratch_params.h"
#include "unroll/scratch.h"

namespace unroll {

NamedTensors get_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device) {
  return draw_params(CellKind::kRnn, vocab_size, num_hiddens, device);
}

State init_rnn_state(int64_t batch_size, int64_t num_hiddens, torch::Device device) {
  return zero_state(CellKind::kRnn, batch_size, num_hiddens, device);
}

std::pair<torch::Tensor, State> rnn(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params) {
  const auto [W_xh, W_hh, b_h, W_hq, b_q] = unpack<5>(params);
  auto H = state.at(0);
  std::vector<torch::Tensor> outputs;
  for (const auto& X : inputs.unbind(0)) {
    H = torch::tanh(torch::mm(X, W_xh) + torch::mm(H, W_hh) + b_h);
    outputs.push_back(torch::mm(H, W_hq) + b_q);
  }
  return {torch::cat(outputs, 0), {H}};
}

std::pair<torch::Tensor, State> rnn_relu(const torch::Tensor& inputs, const State& state,
                                         const NamedTensors& params) {
  const auto [W_xh, W_hh, b_h, W_hq, b_q] = unpack<5>(params);
  auto H = state.at(0);
  std::vector<torch::Tensor> outputs;
  for (const auto& X : inputs.unbind(0)) {
    H = torch::relu(torch::mm(X, W_xh) + torch::mm(H, W_hh) + b_h);
    outputs.push_back(torch::mm(H, W_hq) + b_q);
  }
  return {torch::cat(outputs, 0), {H}};
}

}  // namespace unroll

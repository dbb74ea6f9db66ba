#include <vector>

#include "models/scratch_params.h"
#include "unroll/scratch.h"

namespace unroll {

NamedTensors get_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device) {
  return ScratchParams(device)
      .normal("W_xh", vocab_size, num_hiddens)
      .normal("W_hh", num_hiddens, num_hiddens)
      .zeros("b_h", num_hiddens)
      .normal("W_hq", num_hiddens, vocab_size)
      .zeros("b_q", vocab_size)
      .all();
}

State init_rnn_state(int64_t batch_size, int64_t num_hiddens, torch::Device device) {
  return {torch::zeros({batch_size, num_hiddens}, device)};
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

}  // namespace unroll

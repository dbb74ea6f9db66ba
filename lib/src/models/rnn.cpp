#include <vector>

#include "models/cell_kind.h"
#include "models/scratch_params.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

// The notebook's loop; `phi` is the activation.
std::pair<torch::Tensor, State> elman(const torch::Tensor& inputs, const State& state,
                                      const NamedTensors& params,
                                      torch::Tensor (*phi)(const torch::Tensor&)) {
  const auto [W_xh, W_hh, b_h, W_hq, b_q] = unpack<5>(params);
  auto [H] = unpack_state<1>(state, inputs, params);
  std::vector<torch::Tensor> outputs;
  for (const auto& X : inputs.unbind(0)) {
    H = phi(torch::mm(X, W_xh) + torch::mm(H, W_hh) + b_h);
    outputs.push_back(torch::mm(H, W_hq) + b_q);
  }
  return {torch::cat(outputs, 0), {H}};
}

}  // namespace

NamedTensors get_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device) {
  return draw_params(scratch_config(CellKind::kRnn), vocab_size, num_hiddens, device);
}

State init_rnn_state(int64_t batch_size, int64_t num_hiddens, torch::Device device) {
  return zero_state(CellKind::kRnn, batch_size, num_hiddens, device);
}

std::pair<torch::Tensor, State> rnn(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params) {
  return elman(inputs, state, params, torch::tanh);
}

std::pair<torch::Tensor, State> rnn_relu(const torch::Tensor& inputs, const State& state,
                                         const NamedTensors& params) {
  return elman(inputs, state, params, torch::relu);
}

}  // namespace unroll

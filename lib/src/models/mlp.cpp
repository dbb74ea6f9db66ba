#include "models/scratch_params.h"
#include "unroll/scratch.h"

namespace unroll {

NamedTensors get_mlp_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device) {
  return draw_params({.model = ModelKind::kScratch, .cell = Cell::kMlp}, vocab_size, num_hiddens,
                     device);
}

State init_mlp_state(int64_t /*batch_size*/, int64_t /*num_hiddens*/, torch::Device /*device*/) {
  return {};
}

std::pair<torch::Tensor, State> mlp(const torch::Tensor& inputs, const State& /*state*/,
                                    const NamedTensors& params) {
  const auto [W_xh, b_h, W_hq, b_q] = unpack<4>(params);
  const auto X = inputs.flatten(0, 1);
  const auto H = torch::tanh(torch::mm(X, W_xh) + b_h);
  return {torch::mm(H, W_hq) + b_q, {}};
}

}  // namespace unroll

#include <vector>

#include "models/cell_kind.h"
#include "models/scratch_params.h"
#include "unroll/scratch.h"

namespace unroll {

NamedTensors get_gru_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device) {
  return draw_params(scratch_config(CellKind::kGruBefore), vocab_size, num_hiddens, device);
}

NamedTensors get_gru_reset_after_params(int64_t vocab_size, int64_t num_hiddens,
                                        torch::Device device) {
  return draw_params(scratch_config(CellKind::kGruAfter), vocab_size, num_hiddens, device);
}

State init_gru_state(int64_t batch_size, int64_t num_hiddens, torch::Device device) {
  return zero_state(CellKind::kGruBefore, batch_size, num_hiddens, device);
}

std::pair<torch::Tensor, State> gru(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params) {
  const auto [W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q] = unpack<11>(params);
  auto [H] = unpack_state<1>(state, inputs, params);
  std::vector<torch::Tensor> outputs;
  for (const auto& X : inputs.unbind(0)) {
    const auto Z = torch::sigmoid(torch::mm(X, W_xz) + torch::mm(H, W_hz) + b_z);
    const auto R = torch::sigmoid(torch::mm(X, W_xr) + torch::mm(H, W_hr) + b_r);
    const auto C = torch::tanh(torch::mm(X, W_xh) + torch::mm(R * H, W_hh) + b_h);
    H = Z * H + (1 - Z) * C;
    outputs.push_back(torch::mm(H, W_hq) + b_q);
  }
  return {torch::cat(outputs, 0), {H}};
}

std::pair<torch::Tensor, State> gru_reset_after(const torch::Tensor& inputs, const State& state,
                                                const NamedTensors& params) {
  const auto [W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, b_hh, W_hq, b_q] =
      unpack<12>(params);
  auto [H] = unpack_state<1>(state, inputs, params);
  std::vector<torch::Tensor> outputs;
  for (const auto& X : inputs.unbind(0)) {
    const auto Z = torch::sigmoid(torch::mm(X, W_xz) + torch::mm(H, W_hz) + b_z);
    const auto R = torch::sigmoid(torch::mm(X, W_xr) + torch::mm(H, W_hr) + b_r);
    const auto C = torch::tanh(torch::mm(X, W_xh) + b_h + R * (torch::mm(H, W_hh) + b_hh));
    H = Z * H + (1 - Z) * C;
    outputs.push_back(torch::mm(H, W_hq) + b_q);
  }
  return {torch::cat(outputs, 0), {H}};
}

}  // namespace unroll

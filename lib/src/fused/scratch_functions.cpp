#include "fused/language_model_node.h"
#include "models/plain_model.h"
#include "unroll/fused.h"

namespace unroll {

ForwardFn fused_forward(const ModelConfig& config) {
  const auto cell = cell_kind(config);
  return [cell](const torch::Tensor& inputs, const State& state, const NamedTensors& params) {
    auto tensors = values(params);
    tensors.insert(tensors.end(), state.begin(), state.end());
    tensors.push_back(inputs);
    const Layout layout{.cell = cell, .concise = false, .layers = 1};
    const bool complete =
        params.size() == weight_count(layout) && state.size() == state_count(layout);
    if (!complete || !all_float_on_cpu(tensors)) {
      return scratch_forward(cell)(inputs, state, params);
    }
    const int64_t H = hidden_of(layout, values(params));
    check_states(layout, state, inputs.size(1), H, tensors.front());
    const auto call = c10::make_intrusive<LanguageModelCall>();
    call->layout = layout;
    call->pass = std::make_shared<cpu::LanguageModelPass>(cell, 1, H);
    return run(call, tensors);
  };
}

}  // namespace unroll

#include "layers/cpu_layers.h"
#include "layers/tensor_pointers.h"
#include "models/plain_model.h"
#include "unroll/fused.h"

namespace unroll {

ForwardFn fused_forward(const ModelConfig& config) {
  const auto cell = cell_kind(config);
  return [cell](const torch::Tensor& inputs, const State& state,
                const NamedTensors& params) -> std::pair<torch::Tensor, State> {
    const auto weights = values(params);
    auto tensors = weights;
    tensors.insert(tensors.end(), state.begin(), state.end());
    tensors.push_back(inputs);
    const Layout layout{.cell = cell, .concise = false, .layers = 1};
    const bool complete =
        params.size() == weight_count(layout) && state.size() == state_count(layout);
    if (!complete || !all_float_on_cpu(tensors)) {
      return scratch_forward(cell)(inputs, state, params);
    }
    const int64_t H = hidden_of(layout, weights);
    const auto stacks = std::make_shared<LayerStacks>(
        [=] { return std::make_shared<cpu::LayerStack>(cell, 1, H); });
    auto [h, after] =
        run_layers_on_cpu(layout, at::TensorList(weights).slice(0, layer_weight_count(layout)),
                          inputs, state, stacks);
    return {torch::addmm(weights.back(), h.view({-1, H}), weights[weights.size() - 2]),
            std::move(after)};
  };
}

}  // namespace unroll

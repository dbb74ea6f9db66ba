#include "kernels/cpu/decoder.h"

#include <algorithm>
#include <numeric>

namespace unroll::cpu {

Decoder::Decoder(CellKind cell, int64_t batch_size, const ModelParameters& parameters) {
  const auto& W_hq = parameters.output.W_hq;
  // Every token's share in the first layer is looked up, so all of them are slots.
  tokens_.tokens.resize(static_cast<std::size_t>(W_hq.columns));
  std::iota(tokens_.tokens.begin(), tokens_.tokens.end(), 0);
  tokens_.slot.resize(static_cast<std::size_t>(batch_size));
  for (const auto& own : parameters.layers) {
    auto& layer = *layers_.emplace_back(std::make_unique<Recurrence>(cell, W_hq.rows));
    const bool first = layers_.size() == 1;
    layer.pack(own, first ? 0 : W_hq.rows, /*with_backward=*/false);
    layer.begin(1, batch_size, /*with_backward=*/false);
    layer.set_state(nullptr, nullptr);
    if (first) {
      layer.set_input(tokens_, own);
    }
  }
  output_.pack(parameters.output, /*with_backward=*/false);
}

const Panels& Decoder::step(std::span<const int64_t> tokens) {
  std::transform(tokens.begin(), tokens.end(), tokens_.slot.begin(),
                 [](int64_t token) { return static_cast<int32_t>(token); });
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (l > 0) {
      layers_[l]->set_input(layers_[l - 1]->h(), 1);
    }
    layers_[l]->forward();
  }
  output_.forward(layers_.back()->h(), /*with_backward=*/false);
  for (auto& layer : layers_) {
    layer->carry_state();
  }
  return output_.logits();
}

}  // namespace unroll::cpu

#include "layers/dropout.h"

namespace unroll {
namespace {

torch::Tensor& draw(torch::Tensor& mask, double dropout,
                    const std::optional<at::Generator>& generator) {
  return mask.bernoulli_(1 - dropout, generator).div_(1 - dropout);
}

}  // namespace

std::vector<torch::Tensor> draw_masks(double dropout, const std::optional<at::Generator>& generator,
                                      int64_t layers, at::IntArrayRef sizes) {
  std::vector<torch::Tensor> masks;
  for (int64_t l = 1; dropout > 0 && l < layers; ++l) {
    draw(masks.emplace_back(torch::empty(sizes, torch::kFloat32)), dropout, generator);
  }
  return masks;
}

torch::Tensor dropped(const torch::Tensor& h, double dropout,
                      const std::optional<at::Generator>& generator) {
  if (!generator) {
    return torch::dropout(h, dropout, /*train=*/true);
  }
  auto mask = torch::empty_like(h);
  return h * draw(mask, dropout, generator);
}

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace unroll {

/// What each layer's outputs of these sizes, but the last one's, are multiplied by: float32 on the
/// CPU. Drawn as at::dropout draws it for torch::nn's layers, so that the same state of the
/// generator gives the same masks. None without dropout.
std::vector<torch::Tensor> draw_masks(double dropout, const std::optional<at::Generator>& generator,
                                      int64_t layers, at::IntArrayRef sizes);

/// As at::dropout, which takes no generator; LibTorch's default one where there is none.
torch::Tensor dropped(const torch::Tensor& h, double dropout,
                      const std::optional<at::Generator>& generator);

}  // namespace unroll

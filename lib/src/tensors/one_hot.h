#pragma once

#include <torch/types.h>

#include <cstdint>

namespace unroll {

/// As torch::one_hot, but in the weights' type at once, and without looking at the indices first:
/// that is one operation fewer, and one that can be captured on any device.
///
/// indices (T,B) int64 in [0,V) -> (T,B,V). LibTorch refuses an index outside.
inline torch::Tensor one_hot(const torch::Tensor& indices, int64_t vocab_size,
                             torch::ScalarType type) {
  auto sizes = indices.sizes().vec();
  sizes.push_back(vocab_size);
  return torch::zeros(sizes, indices.options().dtype(type)).scatter_(-1, indices.unsqueeze(-1), 1);
}

}  // namespace unroll

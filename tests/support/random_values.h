#pragma once

#include <torch/types.h>

#include <cmath>

#include "unroll/model.h"
#include "unroll/seq_data.h"

namespace unroll {

/// Sequences, steps, vocabulary, units.
struct Shape {
  int64_t B, T, V, H;
};

inline Batch random_batch(const Shape& shape) {
  return {torch::randint(shape.V, {shape.B, shape.T}, torch::kInt64),
          torch::randint(shape.V, {shape.B, shape.T}, torch::kInt64)};
}

/// Weights at which gates neither saturate nor vanish, so that every part of a gradient counts.
inline void draw_weights(const SequenceModel& net) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, weight] : net.weights()) {
    weight.copy_(torch::randn_like(weight) / std::sqrt(static_cast<double>(weight.size(-1))));
  }
}

/// |a - b| / |b|
inline double distance(const torch::Tensor& a, const torch::Tensor& b) {
  const torch::NoGradGuard no_grad;
  return ((a - b).norm() / b.norm().clamp_min(1e-30)).item<double>();
}

}  // namespace unroll

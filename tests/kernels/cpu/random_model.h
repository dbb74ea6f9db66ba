#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cpu/each_target.h"
#include "kernels/cpu/language_model.h"

namespace unroll::cpu {

inline constexpr int64_t kLayers = 2;

/// A model's values, or its gradients, in vectors of their own.
struct Storage {
  std::vector<std::vector<float>> arrays;
  ModelParameters parameters;
};

/// A test of layers of each cell, with weights of its own, on each instruction set.
class EachCell : public EachTarget {
 protected:
  // A mask of a layer boundary in `size` places, as dropout of 0.4 makes them.
  std::vector<float> mask(int64_t size) {
    std::vector<float> result;
    for (int64_t i = 0; i < size; ++i) {
      result.push_back(draw(0, 4) < 2 ? 0.0F : 1 / 0.6F);
    }
    return result;
  }

  // Standard deviations; of 0, there are zeros, and nothing is drawn.
  struct Scales {
    float W_x_of_tokens = 0, W_x = 0, W_h = 0, b = 0, W_hq = 0, b_q = 0;
  };
  Storage model(CellKind cell, int64_t layers, int64_t V, int64_t H, const Scales& scales) {
    Storage s;
    s.arrays.reserve(200);
    const auto array = [&](int64_t size, float scale) {
      s.arrays.push_back(scale > 0 ? values(size, scale) : std::vector<float>(size));
      return s.arrays.back().data();
    };
    for (int64_t l = 0; l < layers; ++l) {
      const int64_t inputs = l == 0 ? V : H;
      const float W_x_scale = l == 0 ? scales.W_x_of_tokens : scales.W_x;
      auto& layer = s.parameters.layers.emplace_back();
      for (int64_t g = 0; g < gate_count(cell); ++g) {
        layer.gates.push_back({.W_x = {array(inputs * H, W_x_scale), inputs, H, H, 1},
                               .W_h = {array(H * H, scales.W_h), H, H, H, 1},
                               .b = array(H, scales.b)});
      }
      layer.b_hh = array(H, scales.b);
    }
    s.parameters.output = {.W_hq = {array(H * V, scales.W_hq), H, V, V, 1},
                           .b_q = array(V, scales.b_q)};
    return s;
  }
  Storage random_model(CellKind cell, int64_t V, int64_t H) {
    return model(cell, kLayers, V, H, {0.3F, 0.3F, 0.3F, 0.3F, 0.3F, 0.3F});
  }
};

/// |a - b| / |b|
inline double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / std::max(size, 1e-30));
}

}  // namespace unroll::cpu

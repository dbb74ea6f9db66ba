#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "unroll/compute.h"
#include "unroll/tensors.h"

namespace unroll {

/// Name and sizes of one of a model's weights.
struct WeightShape {
  std::string name;
  std::vector<int64_t> sizes;
};

/// The weights of a model of this description for V tokens, in the model's order.
std::vector<WeightShape> weight_shapes(const ModelConfig& config, int64_t vocab_size);

/// Throws Error, naming the first that differs, unless these are such weights, in this order.
void check_weights(const ModelConfig& config, int64_t vocab_size, const NamedTensors& weights);

/// The weights in the model's order, whatever their own. Throws Error for one that is missing, has
/// another shape, or is not the model's.
NamedTensors ordered_weights(const ModelConfig& config, int64_t vocab_size,
                             const NamedTensors& weights);

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <vector>

#include "kernels/cpu/layer_stack.h"
#include "unroll/tensors.h"

namespace unroll {

// Tensors as kernels take them: one that a cell lacks is undefined, and then null.

inline const float* read(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}
inline float* write(torch::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr;
}

inline std::vector<const float*> read(const std::vector<torch::Tensor>& tensors) {
  std::vector<const float*> pointers;
  pointers.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    pointers.push_back(read(tensor));
  }
  return pointers;
}

inline cpu::StatePointers pointers(const State& state) {
  return {.h = !state.empty() && state[0].defined() ? state[0].data_ptr<float>() : nullptr,
          .c = state.size() > 1 && state[1].defined() ? state[1].data_ptr<float>() : nullptr};
}

inline torch::Tensor contiguous_or_undefined(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.contiguous() : tensor;
}

}  // namespace unroll

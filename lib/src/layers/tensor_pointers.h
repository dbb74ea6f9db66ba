#pragma once

#include <torch/types.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu/layer_stack.h"
#include "unroll/tensors.h"

namespace unroll {

/// Whether all are there and float32, which is all that kernels take; and whether on a CPU.
inline bool all_float(at::TensorList tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const torch::Tensor& t) {
    return t.defined() && t.scalar_type() == torch::kFloat32;
  });
}
inline bool all_float_on_cpu(at::TensorList tensors) {
  return all_float(tensors) && std::all_of(tensors.begin(), tensors.end(),
                                           [](const torch::Tensor& t) { return t.is_cpu(); });
}

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

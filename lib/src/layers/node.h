#pragma once

#include <torch/types.h>

#include <algorithm>

#include "unroll/error.h"

// What autograd nodes over kernels share.

namespace unroll {

/// Whether there will be a way back, with these arguments.
inline bool wants_gradient(at::TensorList tensors) {
  return torch::GradMode::is_enabled() &&
         std::any_of(tensors.begin(), tensors.end(),
                     [](const torch::Tensor& t) { return t.requires_grad(); });
}

/// For the way back, which records nothing itself. Throws Error where it should.
inline void refuse_second_derivatives() {
  if (torch::GradMode::is_enabled()) {
    throw Error("the fused backend has no second derivatives; choose compute plain");
  }
}

}  // namespace unroll

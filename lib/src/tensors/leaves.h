#pragma once

#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {

/// Throws Error unless each parameter that requires a gradient is a leaf of the graph: the gradient
/// of another one is not kept, so that it would stay as it is.
inline void require_leaves(const NamedTensors& params) {
  for (const auto& [name, tensor] : params) {
    if (tensor.requires_grad() && !tensor.is_leaf()) {
      throw Error(
          formatted("the parameter {} must be a leaf to be trained, got the result of an operation "
                    "on a tensor that requires a gradient; detach it, then call requires_grad_()",
                    name));
    }
  }
}

}  // namespace unroll

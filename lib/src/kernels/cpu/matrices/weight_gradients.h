#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/panels.h"

namespace unroll::cpu {

/// The gradient of weights that a matrix was multiplied by.
struct GradientTerm {
  const Activations* dz;  ///< (T*B, gates.columns()) the gradient by the product
  int64_t first_step;     ///< the matrix's step that belongs to dz's first one
  Gates gates;
  /// Where each gate's columns go, (the matrix's columns, gates.hidden); null to drop them.
  std::vector<const StridedMatrix*> gradients;
};

/// A^T dz over all rows for each term: all weights that A was multiplied by. On all threads.
void weight_gradients(const Activations& A, std::span<const GradientTerm> terms);

}  // namespace unroll::cpu

#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/panels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/product.h"

namespace unroll::cpu {

/// Multiply-adds below which another thread costs more than it brings.
inline constexpr int64_t kWorthAThread = 1 << 16;

/// Indices that one thread should at least get when each costs so many multiply-adds.
inline int64_t grain(int64_t cost) {
  return std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, cost));
}

/// A^T B over the rows of B, A's from `first_row` on: the gradient of weights by which A was
/// multiplied.
///
/// `destination(gate)` is the matrix (A.columns(), gates.hidden) that takes a gate's columns, or
/// null to drop them.
template <typename Destination>
void weight_gradients(const Panels& A, int64_t first_row, const Panels& B, const Gates& gates,
                      const Destination& destination) {
  const int64_t tiles = A.panels() * B.panels();
  parallel_for(0, tiles, grain(kPanel * kPanel * B.rows()), [&](int64_t first, int64_t last) {
    alignas(64) float C[kPanel * kPanel];
    for (int64_t n = first; n < last; ++n) {
      const int64_t a = n % A.panels();
      const int64_t p = n / A.panels();
      multiply_transposed(A, first_row, a, B, p, C, kPanel);
      const int64_t rows = std::min(kPanel, A.columns() - a * kPanel);
      for (int64_t column = 0; column < B.panel_columns(p); column += kBlock) {
        const int64_t block = (p * B.width() + column) / kBlock;  // u * count + gate
        const StridedMatrix* to = destination(block % gates.count);
        if (to == nullptr) {
          continue;
        }
        const int64_t unit = block / gates.count * kBlock;
        const int64_t units = std::min(kBlock, gates.hidden - unit);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < units; ++j) {
            (*to)(a * kPanel + i, unit + j) = C[i * kPanel + column + j];
          }
        }
      }
    }
  });
}

}  // namespace unroll::cpu

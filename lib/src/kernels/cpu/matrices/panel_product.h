#pragma once

#include <cstdint>

#include "kernels/cpu/matrices/panels.h"

namespace unroll::cpu {

/// Where a product of panels goes.
struct PanelResult {
  float* C = nullptr;       ///< on a 64-byte boundary
  int64_t stride = kPanel;  ///< floats from row to row
  bool accumulate = false;  ///< C += the product
};

/// One panel of a product: C = A[first_row .. first_row + rows) B[:, panel p], the sum over the
/// depth [k, k + depth) alone.
///
/// A (., K), B (K, .), C (rows, B.panel_columns(p)); k is the first column of one of A's panels.
/// Each value is summed over k in ascending order, whatever the rows asked for: the result does not
/// depend on how the work is split.
///
/// `next`: where the next product reads its right side, if B does not stay in a core's own cache.
/// It is prefetched during this product, and so is the rest of B's panel. Null: nothing is.
void multiply(const Panels& A, int64_t first_row, int64_t rows, const Panels& B, int64_t p,
              int64_t k, int64_t depth, const PanelResult& result, const float* next = nullptr);

/// Some rows of one panel of A^T B: A's columns [begin, end) by the columns of B's panel p, summed
/// over the rows [k, k + depth) of B alone, and those of A from first_row + k on.
///
/// begin is a panel's first column, and end one, or the last. C (end - begin in whole blocks,
/// B.panel_columns(p)). `next` as above.
void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const Panels& B, int64_t p, int64_t k, int64_t depth,
                         const PanelResult& result, const float* next = nullptr);

}  // namespace unroll::cpu

#pragma once

#include <cstdint>

#include "kernels/cpu/panels.h"

namespace unroll::cpu {

/// One panel of a product: C = A[first_row .. first_row+rows) B[:, panel p], or C += when
/// `accumulate`.
///
/// A (., K), B (K, .), C (rows, B.panel_columns(p)) with `c_stride` floats from row to row, on a
/// 64-byte boundary. Each value is summed over k in ascending order, whatever the rows asked for:
/// the result does not depend on how the work is split.
void multiply(const Panels& A, int64_t first_row, int64_t rows, const Panels& B, int64_t p,
              float* C, int64_t c_stride, bool accumulate);

/// Some rows of one panel of A^T B: A's columns [begin, end) by the columns of B's panel `b`,
/// summed over K = B.rows() rows of both, A's from `first_row` on.
///
/// begin is a panel's first column, and end one, or the last. C (end - begin in whole blocks,
/// B.panel_columns(b)), `c_stride` floats from row to row, on a 64-byte boundary.
void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const Panels& B, int64_t b, float* C, int64_t c_stride);

}  // namespace unroll::cpu

#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/machine/l2_cache.h"
#include "kernels/cpu/matrices/panels.h"

namespace unroll::cpu {

/// The columns of a strip of a matrix that is a right side, in panels of `width`: as the
/// instruction set in use reads it fastest. Any other is read, too.
int64_t strip_of_right_side(int64_t width);

/// The right side of a product of panels: the rows [k, k + depth) of B's panel p.
struct RightSide {
  const Panels& B;
  int64_t p = 0;
  int64_t k = 0;
  int64_t depth = 0;
  /// Where the next product reads its right side, if B does not stay in a core's own cache. It is
  /// prefetched during this product, and so is the rest of the panel, whose products are cut for
  /// slow reading, unless the core itself reads B fast enough. Null: B stays cached, or nothing
  /// follows.
  const float* next = nullptr;
};

/// Where a product of panels goes.
struct PanelResult {
  float* C = nullptr;        ///< on a 64-byte boundary
  int64_t stride = kPanel;   ///< floats from row to row
  int64_t strip_stride = 0;  ///< and from strip to strip, if a panel is more than one of `stride`
  bool accumulate = false;   ///< C += the product
};

/// C (rows, B.panel_columns(p)) = A's rows from first_row on, by the right side: the sum over A's
/// columns from k on, k the first of one of its panels.
///
/// Each value is summed over k in ascending order, whatever the rows asked for and however the
/// depth is cut: the result does not depend on how the work is split.
void multiply(const Panels& A, int64_t first_row, int64_t rows, const RightSide& right,
              const PanelResult& result);

/// C (end - begin in whole blocks, B.panel_columns(p)) = A's columns [begin, end), transposed, by
/// the right side: the sum over A's rows from first_row + k on, as above.
///
/// begin is the first column of one of A's strips, and end one, or A.columns().
void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const RightSide& right, const PanelResult& result);

/// Calls product(right) for each of B's panels [p_begin, p_end), with so much depth at once; after
/// the last one follows `next`. Nothing is prefetched if B stays in a core's own cache.
template <typename Product>
void for_right_sides(const Panels& B, int64_t p_begin, int64_t p_end, int64_t depth_at_once,
                     const float* next, const Product& product) {
  const bool stays = stay_in_l2_cache(B.bytes());
  for (int64_t k = 0; k < B.rows(); k += depth_at_once) {
    const int64_t depth = std::min(depth_at_once, B.rows() - k);
    for (int64_t p = p_begin; p < p_end; ++p) {
      const float* follows = next;
      if (p + 1 < p_end) {
        follows = B.at(k, (p + 1) * B.width());
      } else if (k + depth < B.rows()) {
        follows = B.at(k + depth, p_begin * B.width());
      }
      product(RightSide{.B = B, .p = p, .k = k, .depth = depth, .next = stays ? nullptr : follows});
    }
  }
}

}  // namespace unroll::cpu

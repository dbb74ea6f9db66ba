#include "kernels/cpu/pack.h"

#include <algorithm>

namespace unroll::cpu {

void pack(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t begin, int64_t end,
          Panels& packed) {
  for (int64_t u = 0; u < gates.blocks(); ++u) {
    const int64_t first = u * kBlock;
    const int64_t count = std::min(kBlock, W.columns - first);
    for (int64_t k = begin; k < end; ++k) {
      float* to = packed.at(k, gates.column(u, gate));
      for (int64_t n = 0; n < count; ++n) {
        to[n] = W(k, first + n);
      }
    }
  }
}

void pack_transposed(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t begin,
                     int64_t end, Panels& packed) {
  for (int64_t n = begin; n < end; n += kBlock) {
    const int64_t count = std::min(kBlock, end - n);
    const int64_t row = gates.column(n / kBlock, gate);
    for (int64_t k = 0; k < W.rows; k += kBlock) {
      float* to = packed.at(row, k);
      const int64_t width = std::min(kBlock, W.rows - k);
      for (int64_t i = 0; i < count; ++i, to += packed.row_stride()) {
        for (int64_t j = 0; j < width; ++j) {
          to[j] = W(k + j, n + i);
        }
      }
    }
  }
}

void unpack_row(const float* row_of_first_panel, int64_t panel_stride, const Gates& gates,
                int64_t gate, float* destination, int64_t stride) {
  for (int64_t u = 0; u < gates.blocks(); ++u) {
    const int64_t column = gates.column(u, gate);
    const float* from =
        row_of_first_panel + column / gates.width() * panel_stride + column % gates.width();
    const int64_t first = u * kBlock;
    const int64_t count = std::min(kBlock, gates.hidden - first);
    for (int64_t n = 0; n < count; ++n) {
      destination[(first + n) * stride] = from[n];
    }
  }
}

}  // namespace unroll::cpu

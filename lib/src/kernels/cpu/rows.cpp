#include "kernels/cpu/rows.h"

#include <algorithm>

namespace unroll::cpu {

void sum_rows(const Panels& values, const int32_t* slot, int64_t p, Panels& sums) {
  const int64_t width = values.width();
  float* const first = sums.at(0, p * width);
  std::fill_n(first, sums.panel_stride(), 0.0F);
  const float* from = values.at(0, p * width);
  for (int64_t r = 0; r < values.rows(); ++r, from += width) {
    float* to = first + slot[r] * width;
    for (int64_t k = 0; k < width; ++k) {
      to[k] += from[k];
    }
  }
}

void add_row(const Panels& row, int64_t begin, int64_t end, int64_t p, Panels& values) {
  const int64_t width = values.width();
  const int64_t columns = values.panel_columns(p);
  const float* from = row.at(0, p * width);
  for (int64_t r = begin; r < end; ++r) {
    float* to = values.at(r, p * width);
    for (int64_t k = 0; k < columns; ++k) {
      to[k] += from[k];
    }
  }
}

void scale(float factor, Panels& values) {
  float* const first = values.at(0, 0);
  const int64_t size = values.panels() * values.panel_stride();
  std::transform(first, first + size, first, [&](float value) { return value * factor; });
}

void copy_rows_in(const float* from, int64_t rows, int64_t columns, Panels& to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; c += kBlock) {
      float* block = to.at(r, c);
      std::fill_n(block, kBlock, 0.0F);
      if (from != nullptr) {
        std::copy_n(from + r * columns + c, std::min(kBlock, columns - c), block);
      }
    }
  }
}

void copy_rows_out(const Panels& from, int64_t first_row, int64_t rows, int64_t columns,
                   float* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; c += kBlock) {
      std::copy_n(from.at(first_row + r, c), std::min(kBlock, columns - c), to + r * columns + c);
    }
  }
}

}  // namespace unroll::cpu

#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/machine/aligned_array.h"

namespace unroll::cpu {

/// Units of a block, the least that is computed together: one AVX-512 vector of floats.
inline constexpr int64_t kBlock = 16;

/// Columns of a panel, at most: of three gates side by side 48.
inline constexpr int64_t kPanel = 64;

/// Columns of a panel of states and inputs, which are multiplied row by row in each step and column
/// by column for the gradient of the weights: a row of such a panel is one line of cache, so that
/// its columns are read from consecutive memory too. That product is 1.1 times as fast as with 64
/// (unroll_kernels_benchmark --benchmark_filter=MultiplyTransposed).
inline constexpr int64_t kStatePanel = kBlock;

/// How many parts of that size n has, the last of which may be smaller.
inline constexpr int64_t parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

/// n rounded up to a multiple.
inline constexpr int64_t round_up(int64_t n, int64_t multiple) {
  return parts_of(n, multiple) * multiple;
}

/// The size of the parts when n is cut into about equal ones of at most `most`, rounded up to a
/// multiple of `multiple`.
inline constexpr int64_t equal_part(int64_t n, int64_t most, int64_t multiple) {
  return round_up(parts_of(n, parts_of(n, most)), multiple);
}

/// A matrix of floats cut into strips of columns: strip s holds the columns [s*strip, (s+1)*strip)
/// of every row, row after row, on 64-byte boundaries. A product's right side (down a strip) is
/// then read from consecutive memory, and within a strip so is its left side (along a row). The
/// columns past the last one are zero until they are written to.
///
/// A panel, the columns that are computed together, is one strip, or as many as it has blocks.
///
/// A strip has room for an odd number of rows. With an even one, the same row of all strips can
/// fall on a few sets of the first-level cache.
class Panels {
 public:
  Panels() = default;

  /// Gives it a shape, of panels that are one strip each; `width` is a multiple of kBlock. Zeroes
  /// the values unless the shape stays the same.
  void resize(int64_t rows, int64_t columns, int64_t width = kPanel) {
    resize(rows, columns, width, width);
  }
  /// Of panels that are strips of `width`, or of kBlock.
  void resize(int64_t rows, int64_t columns, int64_t width, int64_t strip) {
    if (rows == rows_ && columns == columns_ && width == width_ && strip == strip_) {
      return;
    }
    rows_ = rows;
    columns_ = columns;
    width_ = width;
    strip_ = strip;
    data_.assign_zeros(size());
  }

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t width() const { return width_; }
  int64_t panels() const { return parts_of(columns_, width_); }

  /// Columns of panel p, in whole blocks.
  int64_t panel_columns(int64_t p) const {
    return std::min(width_, round_up(columns_ - p * width_, kBlock));
  }

  bool empty() const { return rows_ == 0; }

  /// Columns of a strip, which is from row to row; and from strip to strip, in floats.
  int64_t strip() const { return strip_; }
  int64_t strip_stride() const { return (rows_ | 1) * strip_; }
  /// From block to block of a panel, which is one strip, or one a block.
  int64_t block_stride() const { return strip_ == kBlock ? strip_stride() : kBlock; }

  /// Of all strips, which follow each other: how many floats and bytes.
  int64_t size() const { return parts_of(columns_, strip_) * strip_stride(); }
  int64_t bytes() const { return size() * int64_t{sizeof(float)}; }

  /// The values at `column` of a row and those after it to the end of the strip.
  float* at(int64_t row, int64_t column) {
    return data_.data() + column / strip_ * strip_stride() + row * strip_ + column % strip_;
  }
  const float* at(int64_t row, int64_t column) const {
    return const_cast<Panels*>(this)->at(row, column);
  }

 private:
  AlignedArray<float> data_;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t width_ = kPanel;
  int64_t strip_ = kPanel;
};

/// A matrix whose values are read in blocks of kBlock columns on 64-byte boundaries: panels, or a
/// caller's. It must stay where it is.
class BlockedView {
 public:
  BlockedView() = default;
  explicit BlockedView(const Panels& panels)
      : data_(panels.at(0, 0)),
        strip_(panels.strip()),
        row_stride_(panels.strip()),
        strip_stride_(panels.strip_stride()) {}
  /// The caller's, row-major.
  BlockedView(const float* data, int64_t columns) : data_(data), row_stride_(columns) {}

  /// Whether a caller's matrix can be read so.
  static bool can_read(const float* data, int64_t columns) {
    return columns % kBlock == 0 &&
           reinterpret_cast<std::uintptr_t>(data) % (kBlock * sizeof(float)) == 0;
  }

  bool empty() const { return data_ == nullptr; }
  int64_t row_stride() const { return row_stride_; }
  const float* at(int64_t row, int64_t column) const {
    return data_ + column / strip_ * strip_stride_ + row * row_stride_ + column % strip_;
  }

 private:
  const float* data_ = nullptr;
  int64_t strip_ = kBlock;
  int64_t row_stride_ = 0;
  int64_t strip_stride_ = kBlock;
};

/// A matrix of floats that the caller owns, with its strides in floats.
struct StridedMatrix {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 0;

  float& operator()(int64_t row, int64_t column) const {
    return data[row * row_stride + column * column_stride];
  }
};

/// Gates that are computed by one product: kBlock units of each gate stand side by side, as many
/// such sets as a panel holds, so that one tile of the product has all gates of its units.
struct Gates {
  int64_t count = 1;
  int64_t hidden = 0;

  /// Columns of all gates, in whole blocks.
  int64_t columns() const { return count * round_up(hidden, kBlock); }
  /// Width of their panels.
  int64_t width() const { return kPanel / width_of_block() * width_of_block(); }
  /// Columns of kBlock units of every gate.
  int64_t width_of_block() const { return count * kBlock; }
  /// Where block u of a gate stands among the columns.
  int64_t column(int64_t u, int64_t gate) const { return (u * count + gate) * kBlock; }
  int64_t blocks() const { return round_up(hidden, kBlock) / kBlock; }
};

}  // namespace unroll::cpu

#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/machine/aligned_array.h"
#include "kernels/cpu/matrices/panels.h"

namespace unroll::cpu {

// Matrices of bf16 as the tile unit (AMX) reads them: tiles of 1 KiB, each of which is one load.
//
// A value is held in `parts` parts. One: the nearest bf16, 8 significant bits. Two: that, and the
// bf16 nearest to what is left of the value, 16 bits together. The second parts of a matrix stand
// part_stride() values behind the first ones.

using Bf16 = uint16_t;

/// Rows of a tile on the left side of a product, and columns of one on the right side.
inline constexpr int64_t kTileRows = 16;
/// Terms of a sum in one tile: its columns on the left side, its rows on the right side.
inline constexpr int64_t kTileDepth = 32;
/// Values of a tile.
inline constexpr int64_t kTileSize = kTileRows * kTileDepth;

/// The left side of a product: tiles of 16 rows by 32 columns, row after row; those of the same
/// rows stand one after the other.
class LeftTiles {
 public:
  /// Gives it a shape; zeroes the values unless the shape stays the same.
  void resize(int64_t row_tiles, int64_t columns, int parts) {
    const int64_t depth = round_up(columns, kTileDepth) / kTileDepth;
    if (row_tiles == row_tiles_ && columns == columns_ && parts == parts_) {
      return;
    }
    data_.assign_zeros(parts * row_tiles * depth * kTileSize);
    row_tiles_ = row_tiles;
    columns_ = columns;
    depth_ = depth;
    parts_ = parts;
  }

  void zero() { std::fill_n(data_.data(), parts_ * part_stride(), Bf16{}); }

  bool empty() const { return row_tiles_ == 0; }
  int parts() const { return parts_; }
  /// Tiles side by side.
  int64_t depth() const { return depth_; }

  /// From one tile of rows to the next, in values.
  int64_t row_stride() const { return depth_ * kTileSize; }
  int64_t part_stride() const { return row_tiles_ * row_stride(); }

  /// The tile at rows 16 row_tile.., columns 32 k..
  Bf16* at(int64_t row_tile, int64_t k) const {
    return data_.data() + (row_tile * depth_ + k) * kTileSize;
  }

 private:
  AlignedArray<Bf16> data_;
  int64_t row_tiles_ = 0;
  int64_t columns_ = 0;
  int64_t depth_ = 0;
  int parts_ = 0;
};

/// The right side of a product: tiles of 32 rows by 16 columns, in which two rows alternate
/// (row 2i and 2i + 1 of column 0, of column 1, ...). Panels of columns as in Panels; in a panel
/// two tiles stand side by side, those of the next 32 rows after them, then the next two: a product
/// of two reads consecutive memory, which the hardware prefetches.
class RightTiles {
 public:
  /// Gives it a shape; zeroes the values unless the shape stays the same.
  void resize(int64_t rows, int64_t columns, int64_t width, int parts) {
    const int64_t depth = round_up(rows, kTileDepth) / kTileDepth;
    if (rows == rows_ && columns == columns_ && width == width_ && parts == parts_) {
      return;
    }
    data_.assign_zeros(parts * parts_of(columns, width) * round_up(width, kTileDepth) * depth *
                       kTileDepth);
    rows_ = rows;
    depth_ = depth;
    columns_ = columns;
    width_ = width;
    parts_ = parts;
  }

  void zero() { std::fill_n(data_.data(), parts_ * part_stride(), Bf16{}); }

  int parts() const { return parts_; }
  int64_t columns() const { return columns_; }
  int64_t width() const { return width_; }
  int64_t panels() const { return parts_of(columns_, width_); }
  /// Tiles below each other.
  int64_t depth() const { return depth_; }
  /// Columns of panel p, in whole blocks.
  int64_t panel_columns(int64_t p) const {
    return std::min(width_, round_up(columns_ - p * width_, kBlock));
  }

  /// From the tiles of 32 rows to those of the next, and from two tiles side by side to the next
  /// two, in values.
  int64_t depth_stride() const { return 2 * kTileSize; }
  int64_t pair_stride() const { return depth_ * depth_stride(); }
  int64_t panel_stride() const { return round_up(width_, kTileDepth) / kTileDepth * pair_stride(); }
  int64_t part_stride() const { return panels() * panel_stride(); }

  /// The tile at rows 32 k.., at `column`, a multiple of 16.
  Bf16* at(int64_t k, int64_t column) const {
    const int64_t tile = column % width_ / kTileRows;
    return data_.data() + column / width_ * panel_stride() + tile / 2 * pair_stride() +
           k * depth_stride() + tile % 2 * kTileSize;
  }

 private:
  AlignedArray<Bf16> data_;
  int64_t rows_ = 0;
  int64_t depth_ = 0;
  int64_t columns_ = 0;
  int64_t width_ = kPanel;
  int parts_ = 0;
};

}  // namespace unroll::cpu

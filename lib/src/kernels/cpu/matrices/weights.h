#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/matrices/panel_product.h"
#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/tiles.h"

namespace unroll::cpu {

/// Weights (K, N) as products read them on their right side: panels of float32, or tiles of bf16.
class Weights {
 public:
  /// Gives it a shape. `parts`: of the tiles; 0 is float32.
  void resize(int64_t rows, int64_t columns, int64_t width, int parts) {
    rows_ = rows;
    columns_ = columns;
    width_ = width;
    parts_ = parts;
    if (parts == 0) {
      values_.resize(rows, columns, width, strip_of_right_side(width));
    } else {
      tiles_.resize(rows, columns, width, parts);
    }
  }

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t width() const { return width_; }
  int parts() const { return parts_; }
  int64_t panels() const { return parts_of(columns_, width_); }
  /// Columns of panel p, in whole blocks.
  int64_t panel_columns(int64_t p) const {
    return std::min(width_, round_up(columns_ - p * width_, kBlock));
  }

  Panels& values() { return values_; }
  const Panels& values() const { return values_; }
  RightTiles& tiles() { return tiles_; }
  const RightTiles& tiles() const { return tiles_; }

 private:
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t width_ = kPanel;
  int parts_ = 0;
  Panels values_;
  RightTiles tiles_;
};

}  // namespace unroll::cpu

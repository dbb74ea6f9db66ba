#pragma once

#include <cstdint>

#include "kernels/cpu/matrices/panel_product.h"
#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/tiles.h"

namespace unroll::cpu {

/// The forms in which a matrix over time is kept.
struct ActivationForms {
  bool values = true;       ///< float32 panels
  int parts = 0;            ///< of the tiles on the left, for products of each step; 0: none
  bool right = false;       ///< on the right too, for the sum over all steps: weights' gradients
  bool last_steps = false;  ///< tiles on the left only for the last two steps written
};

/// A layer's values, or their gradients, over T steps of B sequences: (T*B, N).
///
/// In tiles, each step begins a tile of its own, 32 sequences deep; rows past the last sequence
/// stay zero.
class Activations {
 public:
  /// Gives it a shape; zeroes the values unless the shape stays the same.
  void resize(int64_t steps, int64_t batch_size, int64_t columns, int64_t width,
              const ActivationForms& forms) {
    const bool other_rows = batch_size != batch_size_;
    steps_ = steps;
    batch_size_ = batch_size;
    columns_ = columns;
    step_mask_ = forms.last_steps ? 1 : -1;
    if (forms.values) {
      const bool right = forms.right && forms.parts == 0;
      values_.resize(steps * batch_size, columns, width,
                     right ? strip_of_right_side(width) : width);
    }
    if (forms.parts > 0) {
      left_.resize((forms.last_steps ? 2 : steps) * row_tiles_of_step(), columns, forms.parts);
    }
    if (forms.parts > 0 && forms.right) {
      right_.resize(steps * depth_of_step() * kTileDepth, columns, width, forms.parts);
    }
    if (other_rows) {
      left_.zero();
      right_.zero();
    }
  }

  int64_t steps() const { return steps_; }
  int64_t batch_size() const { return batch_size_; }
  int64_t columns() const { return columns_; }

  /// float32: row t*B + b is step t of sequence b.
  Panels& values() { return values_; }
  const Panels& values() const { return values_; }
  LeftTiles& left() { return left_; }
  const LeftTiles& left() const { return left_; }
  RightTiles& right() { return right_; }
  const RightTiles& right() const { return right_; }

  /// The tile of rows on the left that holds sequence b of step t.
  int64_t row_tile(int64_t t, int64_t b) const {
    return (t & step_mask_) * row_tiles_of_step() + b / kTileRows;
  }
  /// Tiles of rows between two steps on the left, and of depth on the right.
  int64_t row_tiles_of_step() const { return 2 * depth_of_step(); }
  int64_t depth_of_step() const { return round_up(batch_size_, kTileDepth) / kTileDepth; }

 private:
  int64_t steps_ = 0;
  int64_t batch_size_ = 0;
  int64_t columns_ = 0;
  int64_t step_mask_ = -1;
  Panels values_;
  LeftTiles left_;
  RightTiles right_;
};

}  // namespace unroll::cpu

#pragma once

#include <cstdint>

#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/panels.h"

namespace unroll::cpu {

/// sums[slot[r]] += values[r] over all rows r = t*B + b, for panel p alone, whose sums are zeroed
/// first.
///
/// values (R, N), from its tiles on the right where it has some; slot[r] in [0, sums.rows()), all 0
/// when it is null; sums (., N) of the same width.
void sum_rows(const Activations& values, const int32_t* slot, int64_t p, Panels& sums);

/// values *= factor.
void scale(float factor, Panels& values);

/// to[first_row + r] = row r of the row-major `from` (rows, columns), zeros past the last column;
/// all zeros when it is null.
void copy_rows_in(const float* from, int64_t first_row, int64_t rows, int64_t columns, Panels& to);

/// Row r of the row-major `to` (rows, columns) = from[first_row + r].
void copy_rows_out(const Panels& from, int64_t first_row, int64_t rows, int64_t columns, float* to);

/// Step t = the row-major `from` (B, N), or zeros when it is null: its values and its tiles on the
/// left, whatever there is.
void copy_step_in(const float* from, int64_t t, Activations& to);

/// Some rows and columns of a matrix; the columns begin at a block.
struct MatrixPart {
  int64_t row, rows, column, columns;
};

/// Of the row-major `to` (B, N) such a part = that of step t. Columns past the last one do not
/// count.
void copy_part_out(const Activations& from, int64_t t, const MatrixPart& part, float* to);

/// The row-major `to` (B, N) = step t.
void copy_step_out(const Activations& from, int64_t t, float* to);

/// Step to_t of `to` = step from_t of `from` times the row-major `factors` (B, N), element by
/// element, in each form that `to` has: values, or tiles on the left.
void scale_step(const Activations& from, int64_t from_t, const float* factors, int64_t to_t,
                Activations& to);

/// Row first_row + r of `values` *= row r of the row-major `factors` (rows, columns), element by
/// element.
void scale_rows(const float* factors, int64_t first_row, int64_t rows, Panels& values);

/// The steps [begin, end) become their tiles, on both sides.
void values_to_tiles(int64_t begin, int64_t end, Activations& matrix);

}  // namespace unroll::cpu

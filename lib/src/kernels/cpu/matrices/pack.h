#pragma once

#include <cstdint>

#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/weights.h"

namespace unroll::cpu {

/// Copies the weights of one gate into the layout of products along the rows.
///
/// W (K, H) -> packed (K, gates.columns()), block u of the gate at gates.column(u, gate); of W the
/// blocks [first, last) of kBlock rows only.
void pack(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t first, int64_t last,
          Weights& packed);

/// Likewise for products with the transposed weights.
///
/// W (K, H) -> packed (gates.columns(), K); unit n of the gate becomes row gates.column(n / 16,
/// gate) + n % 16. Of W the blocks [first, last) of kBlock rows only.
void pack_transposed(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t first,
                     int64_t last, Weights& packed);

/// The way back for one block of a gradient: the rows [row, row + rows) and the columns
/// [column, column + columns), kBlock at most, of W = C (rows, columns), `stride` floats from row
/// to row.
void unpack_block(const float* C, int64_t stride, int64_t rows, int64_t columns, int64_t row,
                  int64_t column, const StridedMatrix& W);

}  // namespace unroll::cpu

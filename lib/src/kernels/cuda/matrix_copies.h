#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

/// Square (row, column) of a matrix, by way of shared memory, so that neighbours among the threads
/// read and write neighbours in memory, whichever way the matrix lies.
UNROLL_DEVICE void copy_square(const MatrixCopy& m, int64_t row, int64_t column, float* square) {
  const int across = thread_index() % kSquare;
  const bool is_transposed = m.from_column != 1;
  for (int along = thread_index() / kSquare; along < kSquare; along += kThreads / kSquare) {
    const int r = is_transposed ? across : along;
    const int c = is_transposed ? along : across;
    if (row + r < m.rows && column + c < m.columns) {
      square[r * kSquareRow + c] = m.from[(row + r) * m.from_row + (column + c) * m.from_column];
    }
  }
  sync_block();
  for (int along = thread_index() / kSquare; along < kSquare; along += kThreads / kSquare) {
    const int64_t r = row + along;
    const int64_t c = column + across;
    if (r < m.rows && c < m.columns) {
      float value = square[along * kSquareRow + across];
      value += m.add != nullptr ? m.add[c] : 0.0F;
      value += m.add_again != nullptr ? m.add_again[c] : 0.0F;
      m.to[r * m.to_row + c] = value;
    }
  }
  sync_block();
}

template <typename Arguments>
UNROLL_KERNEL(kThreads, kCopiersEach)
copy_matrices(const Arguments a) {
  int64_t square = block_index();
  for (int n = 0; n < a.count; ++n) {
    const MatrixCopy& m = a.copies[n];
    const int64_t across = squares_of(1, m.columns);
    const int64_t squares = squares_of(m.rows, m.columns);
    for (; square < squares; square += block_count()) {
      copy_square(m, square / across * kSquare, square % across * kSquare, shared_memory());
    }
    square -= squares;
  }
}

}  // namespace unroll::cuda

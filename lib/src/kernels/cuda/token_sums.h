#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

/// The sum of the warps' sums (kWarps, kLanes) of this lane's column.
UNROLL_DEVICE float sum_of_warps(const float* sums) {
  float total = 0;
  for (int warp = 0; warp < kWarps; ++warp) {
    total += sums[warp * kLanes + thread_index() % kLanes];
  }
  return total;
}

/// Likewise the columns of the other matrix, without tokens.
UNROLL_DEVICE void sum_other(const TokenSumsArguments& a, float* sums) {
  const int warp = thread_index() / kLanes;
  const int64_t stride = static_cast<int64_t>(block_count()) * kLanes;
  // The last blocks come first: the first ones may have one more of the columns with tokens.
  for (int64_t first = static_cast<int64_t>(block_count() - 1 - block_index()) * kLanes;
       first < a.other_columns; first += stride) {
    const int64_t column = first + thread_index() % kLanes;
    float sum = 0;
    for (int64_t row = warp; column < a.other_columns && row < a.rows; row += kWarps) {
      sum += a.other[row * a.other_columns + column];
    }
    sums[thread_index()] = sum;
    sync_block();
    if (warp == 0 && column < a.other_columns) {
      a.other_sum[column] = sum_of_warps(sums);
    }
    sync_block();
  }
}

/// A block sums up a warp's width of columns: each lane one. Warps take rows in turns, and each has
/// a table of its own, (V, kLanes), so that the sums are always made in the same order.
template <typename Arguments>
UNROLL_KERNEL(kThreads, 1)
sum_by_token(const Arguments a) {
  constexpr int kRowsAtOnce = 8;
  const int vocab_size = static_cast<int>(a.vocab_size);
  const int warp = thread_index() / kLanes;
  const int lane = thread_index() % kLanes;
  const int table_floats = vocab_size * kLanes;
  float* tables = shared_memory();
  float* sums = tables + token_tables(vocab_size) * table_floats;  // (kWarps, kLanes)
  const int warps = token_tables(vocab_size);
  float* mine = tables + warp * table_floats + lane;
  for (int64_t first = static_cast<int64_t>(block_index()) * kLanes; first < a.columns;
       first += static_cast<int64_t>(block_count()) * kLanes) {
    const int64_t column = first + lane;
    for (int i = thread_index(); i < warps * table_floats; i += kThreads) {
      tables[i] = 0;
    }
    sync_block();
    if (warp < warps && column < a.columns) {
      for (int64_t row = warp; row < a.rows; row += kRowsAtOnce * warps) {
        // All of a kind are under way before the first is used.
        float values[kRowsAtOnce];
        int64_t tokens[kRowsAtOnce];
        UNROLL_LOOP
        for (int i = 0; i < kRowsAtOnce; ++i) {
          const int64_t r = row + i * warps;
          values[i] = r < a.rows ? a.dz[r * a.columns + column] : 0.0F;
          tokens[i] = r < a.rows ? a.token[r] : -1;
        }
        UNROLL_LOOP
        for (int i = 0; i < kRowsAtOnce; ++i) {
          if (tokens[i] >= 0 && tokens[i] < a.vocab_size) {
            mine[static_cast<int>(tokens[i]) * kLanes] += values[i];
          }
        }
      }
    }
    sync_block();
    float of_all = 0;
    for (int token = warp; token < vocab_size; token += kWarps) {
      float sum = 0;
      for (int table = 0; table < warps; ++table) {
        sum += tables[table * table_floats + token * kLanes + lane];
      }
      if (column < a.columns) {
        a.dx[token * a.columns + column] = sum;
      }
      of_all += sum;
    }
    sums[warp * kLanes + lane] = of_all;
    sync_block();
    if (warp == 0 && column < a.columns) {
      a.db[column] = sum_of_warps(sums);
    }
    sync_block();
  }
  sum_other(a, sums);
}

}  // namespace unroll::cuda

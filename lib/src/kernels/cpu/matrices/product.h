#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/panel_product.h"
#include "kernels/cpu/matrices/tile_product.h"
#include "kernels/cpu/matrices/weights.h"

namespace unroll::cpu {

// The products of a recurrent model, in float32 or in tiles as their operands are.

/// Multiply-adds below which another thread costs more than it brings.
inline constexpr int64_t kWorthAThread = 1 << 16;

/// Multiply-adds that take about as long as copying a value to another form: a core does some 120
/// of the former a nanosecond and 5 to 9 of the latter (unroll_kernels_benchmark
/// --benchmark_filter='Pack|Peak').
inline constexpr int64_t kCopying = 16;

/// Indices that one thread should at least get when each costs so many multiply-adds.
inline int64_t grain(int64_t cost) {
  return std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, cost));
}

/// Sequences that a product takes at once: those of one thread should begin at a multiple.
inline int64_t sequences_at_once(int parts) { return parts == 0 ? 1 : kTileRows; }

/// A's step t times B.
struct StepTerm {
  const Activations* A;
  int64_t t;
  const Weights* B;
};

/// Panel p of C = the sum of the terms' products for the sequences [b, b + rows), or C += when
/// that is said.
///
/// C (rows, .); b a multiple of sequences_at_once(), and C has room for rows rounded up to one.
/// Each value is summed in the same order whatever the rows asked for: the result does not depend
/// on how the work is split. The calling thread has a TileScope. `next_p`: the panel of the first
/// term's weights to prefetch meanwhile, in float32, or -1.
void multiply_step(std::span<const StepTerm> terms, int64_t b, int64_t rows, int64_t p,
                   PanelResult result, int64_t next_p = -1);

/// The same as work on the tile unit, of up to 32 rows, to be done little by little.
TileWork tile_work_of_step(std::span<const StepTerm> terms, int64_t b, int64_t rows, int64_t p,
                           const PanelResult& result);

/// C (steps*B, N) = A's steps from `first_step` on times B, plus `start` (1, N) in every row unless
/// it is null, or C += the product when `accumulate`. C has as many rows as those steps have. On
/// all threads.
void multiply_steps(const Activations& A, int64_t first_step, const Weights& B, const Panels* start,
                    bool accumulate, Panels& C);

}  // namespace unroll::cpu

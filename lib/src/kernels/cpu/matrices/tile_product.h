#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/matrices/tile_work.h"

namespace unroll::cpu {

/// Whether this CPU has a tile unit for bf16 and the system lets this process use it. The first
/// call asks for permission. Without the unit, the functions below compute the same step by step,
/// slowly and with other last bits, for tests; with AVX-512 they need the unit.
bool has_tile_unit();

/// Sets up the tile unit for the calling thread; products of tiles need one while they run.
class TileScope {
 public:
  /// Does nothing for float32, which is 0 parts.
  explicit TileScope(int parts);
  ~TileScope();
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;

 private:
  bool active_;
};

/// C (32 rows, 16 columns) = start + the sum of all terms' products, in float32; C may be its own
/// start, and a null start is zeros.
///
/// One or two tiles of columns; start[j] and results[j] have the columns 16 j... Of two parts the
/// product of the second ones is left out: it is below the rounding of the first ones' sum. Each
/// value is summed in the same order whatever is computed beside it.
void multiply_tiles(std::span<const TileTerm> terms, int parts, int columns,
                    const TileResult* start, const TileResult* results);

/// The transposed of two left tiles, (32 rows, 32 columns), from `from` and a tile of rows further
/// on, as two left tiles one after the other at `to`: (32 columns, 32 rows).
void transpose_tiles(const Bf16* from, int64_t row_stride, Bf16* to);

}  // namespace unroll::cpu

#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/tiles.h"

namespace unroll::cpu {

/// Whether this CPU has a tile unit for bf16 and the system lets this process use it. Asks for the
/// permission when called for the first time. Elsewhere the functions below compute the same
/// without one, slowly: for tests.
bool has_tile_unit();

/// Sets up the tile unit for the calling thread while it lives: products of tiles need one.
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

/// Two matrices of tiles that are to be multiplied; strides in values.
struct TileTerm {
  const Bf16* a;
  int64_t a_row_stride;  ///< to the next 16 rows
  int64_t a_depth_stride;
  int64_t a_part_stride;
  const Bf16* b;  ///< the tiles of further columns follow
  int64_t b_depth_stride;
  int64_t b_part_stride;
  int64_t depth;  ///< tiles in the direction of the sum
};

/// Where 16 columns of a result go; `stride` floats from row to row.
struct TileResult {
  float* c;
  int64_t stride;
};

/// C (16 rows, 16 columns) = the sum of all terms' products, or C += when `accumulate`, in float32.
///
/// rows 1 or 2, columns 1 to 4; results[j] takes the columns 16 j... Of two parts the product of the
/// second ones is left out: it is below the rounding of the first ones' sum. Each value is summed in
/// the same order whatever is computed beside it.
void multiply_tiles(std::span<const TileTerm> terms, int parts, int rows, int columns,
                    const TileResult* results, bool accumulate);

/// The transposed of two left tiles, (32 rows, 32 columns), from `from` and a tile of rows further
/// on, as two left tiles one after the other at `to`: (32 columns, 32 rows).
void transpose_tiles(const Bf16* from, int64_t row_stride, Bf16* to);

}  // namespace unroll::cpu

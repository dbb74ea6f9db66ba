#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/tiles.h"

namespace unroll::cpu {

/// Whether this CPU has a tile unit for bf16 and the system lets this process use it. Asks for the
/// permission when called for the first time. Elsewhere the functions below do the same step by
/// step, slowly and not to the last bit, for tests; with AVX-512 they need the unit.
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
  const Bf16* b;  ///< two tiles side by side
  int64_t b_depth_stride;
  int64_t b_pair_stride;  ///< to the next two tiles of columns
  int64_t b_part_stride;
  int64_t depth;  ///< tiles in the direction of the sum
};

/// Where 16 columns of a result go; `stride` floats from row to row.
struct TileResult {
  float* c;
  int64_t stride;
};

/// C (32 rows, 16 columns) = start + the sum of all terms' products, in float32; C may be its own
/// start, and a null start is zeros.
///
/// One or two tiles of columns; start[j] and results[j] have the columns 16 j... Of two parts the
/// product of the second ones is left out: it is below the rounding of the first ones' sum. Each
/// value is summed in the same order whatever is computed beside it.
void multiply_tiles(std::span<const TileTerm> terms, int parts, int columns,
                    const TileResult* start, const TileResult* results);

/// The shapes of tiles of sums, rows by columns, that are worth their own code.
enum class TileShape { kTwoByTwo, kOneByFour, kOther };

/// How far the products of one or two tiles of rows with up to four tiles of columns have come.
struct TileProgress {
  TileTerm terms[2];
  int term_count;
  int parts;
  int rows;     ///< 1 or 2 tiles
  int columns;  ///< 1 to 4 tiles
  TileResult result;
  bool accumulate;

  int column = 0;          ///< of the sums that are in the unit, the first
  int term = 0;            ///< that is being multiplied
  int64_t depth_left = 0;  ///< of it
  TileTerm at{};           ///< where its next tiles are
  TileShape shape = TileShape::kOther;
  void (*step)(TileProgress&) = nullptr;      ///< does one step in depth
  void (*end_term)(TileProgress&) = nullptr;  ///< what it does after a term's last
};

/// Products to be done: C = the sum of the terms', or C += when `accumulate`.
struct TileTask {
  std::span<const TileTerm> terms;  ///< one or two
  int parts;
  int rows;     ///< 1 or 2 tiles
  int columns;  ///< 1 to 4 tiles
  TileResult result;
  bool accumulate;
};

/// Such products, done little by little while the vector units are at something else: the tile unit
/// works beside them. The sums stay in the unit, so that a thread has one such work at a time.
class TileWork {
 public:
  /// None.
  TileWork() = default;
  explicit TileWork(const TileTask& task);

  /// Spreads the work evenly over so many rounds of `while (owes_a_step())`.
  void spread(int64_t rounds) { rounds_ = rounds; }
  /// Whether one more step is due in this round; whoever asks does it.
  bool owes_a_step() {
    if (!in_round_) {
      credit_ += steps_;
    }
    in_round_ = credit_ >= rounds_ && left_ > 0;
    if (in_round_) {
      credit_ -= rounds_;
      --left_;
    }
    return in_round_;
  }
  TileProgress& progress() { return progress_; }

  /// Does what is left.
  void finish() {
    for (; left_ > 0; --left_) {
      progress_.step(progress_);
    }
  }

 private:
  TileProgress progress_{};
  int64_t steps_ = 0;
  int64_t left_ = 0;
  int64_t rounds_ = 1;
  int64_t credit_ = 0;
  bool in_round_ = false;
};

/// The transposed of two left tiles, (32 rows, 32 columns), from `from` and a tile of rows further
/// on, as two left tiles one after the other at `to`: (32 columns, 32 rows).
void transpose_tiles(const Bf16* from, int64_t row_stride, Bf16* to);

}  // namespace unroll::cpu

#pragma once

#include <cstdint>

#include "kernels/cpu/matrices/tiles.h"

namespace unroll::cpu {

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

/// The shapes of tiles of sums, rows by columns, that have code of their own.
enum class TileShape { kTwoByTwo, kOneByFour, kOther };

/// Products to compute: C = the sum of the terms' products, or C += it when `accumulate`.
struct TileTask {
  TileTerm terms[2] = {};
  int term_count = 0;  ///< 1 or 2
  int parts = 0;
  int rows = 0;     ///< 1 or 2 tiles
  int columns = 0;  ///< 1 to 4 tiles
  TileResult result = {};
  bool accumulate = false;
};

/// How far such products have come.
struct TileProgress {
  TileTask task;
  int column = 0;          ///< of the sums that are in the unit, the first
  int term = 0;            ///< that is being multiplied
  int64_t depth_left = 0;  ///< of it
  TileTerm at{};           ///< where its next tiles are
  TileShape shape = TileShape::kOther;
  void (*step)(TileProgress&) = nullptr;      ///< does one step in depth
  void (*end_term)(TileProgress&) = nullptr;  ///< called after a term's last step
};

/// Such products, computed in small steps while the vector units do other work: the tile unit works
/// beside them. The sums stay in the unit, so a thread has only one such work at a time.
class TileWork {
 public:
  /// None.
  TileWork() = default;
  explicit TileWork(const TileTask& task);

  /// Spreads the work evenly over so many rounds of `while (owes_a_step())`.
  void spread(int64_t rounds) { rounds_ = rounds; }
  /// Whether one more step is due in this round; the caller then does it.
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

}  // namespace unroll::cpu

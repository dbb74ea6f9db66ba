#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/cells.h"
#include "kernels/cpu/matrices/product.h"

namespace unroll::cpu {

/// A step's products and formulas, a part of the units and sequences at a time. With tiles, whose
/// unit works beside the vector units, the formulas of a part are computed during the products of
/// the next.
template <typename Formulas>
class WorkInTurns {
 public:
  WorkInTurns(CellKind cell, int parts, const Formulas& formulas)
      : by_row_(is_simple(cell)), tiles_(parts > 0), formulas_(formulas) {}
  WorkInTurns(const WorkInTurns&) = delete;
  WorkInTurns& operator=(const WorkInTurns&) = delete;

  /// Sequences of a part where there are so many in all.
  int64_t rows_of_part(int64_t all) const {
    return tiles_ ? kRowsOfTiles : equal_part(all, kRows, 1);
  }
  /// Where the sums of the next part go.
  float* sums() { return sums_ + parts_done_ % 2 * kRowsOfTiles * kPanel; }

  /// Computes the sums of a part of panel p from the products, if there are any, added to what is
  /// there when `accumulate`; then, or later, its formulas. `next_p` as for multiply_step.
  void add(std::span<const StepTerm> terms, int64_t p, bool accumulate, const CellTile& tile,
           int64_t next_p) {
    const PanelResult result{.C = sums(), .accumulate = accumulate};
    if (!tiles_) {
      if (!terms.empty()) {
        multiply_step(terms, tile.row, tile.rows, p, result, next_p);
      }
      formulas_(tile);
      return;
    }
    TileWork products =
        terms.empty() ? TileWork() : tile_work_of_step(terms, tile.row, tile.rows, p, result);
    products.spread(rounds_of(waiting_, by_row_));
    waiting_.meanwhile = &products;
    end();
    products.finish();
    waiting_ = tile;
    ++parts_done_;
  }
  /// The formulas that are left.
  void end() {
    if (waiting_.rows > 0) {
      formulas_(waiting_);
      waiting_.rows = 0;
    }
    waiting_.meanwhile = nullptr;
  }

 private:
  // Whose sums are kept beside a panel of weights: 16 KiB, a third of a first-level cache. With
  // tiles two sets of half as many.
  static constexpr int64_t kRows = 64;
  static constexpr int64_t kRowsOfTiles = kRows / 2;

  bool by_row_;
  bool tiles_;
  const Formulas& formulas_;
  CellTile waiting_{};
  int parts_done_ = 0;
  alignas(64) float sums_[kRows * kPanel];
};

}  // namespace unroll::cpu

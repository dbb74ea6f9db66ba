#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/cells.h"
#include "kernels/cpu/product.h"

namespace unroll::cpu {

// Sequences whose sums are kept beside a panel of weights: 16 KiB of them, a third of a first-level
// cache.
inline constexpr int64_t kRowsOfSums = 64;
// With tiles, whose unit works beside the vector units: two sets of half as many, so that the
// formulas of one are computed during the products of the next.
inline constexpr int64_t kRowsOfTiles = 32;

/// A step's products and formulas, a part of the units and sequences at a time. With tiles, the
/// formulas of a part are computed during the products of the next.
template <typename Formulas>
class WorkInTurns {
 public:
  WorkInTurns(CellKind cell, int parts, const Formulas& formulas)
      : by_row_(is_simple(cell)), tiles_(parts > 0), formulas_(formulas) {}

  /// Sequences of a part.
  int64_t rows() const { return tiles_ ? kRowsOfTiles : kRowsOfSums; }
  /// Where the sums of the next part go.
  float* sums() { return sums_ + parts_done_ % 2 * kRowsOfTiles * kPanel; }

  /// The sums of a part, of panel p, are these products, if any, or added to them; then its
  /// formulas. `next_p`: the panel of the part after it.
  void add(std::span<const StepTerm> terms, int64_t p, bool accumulate, const CellTile& tile,
           int64_t next_p) {
    if (!tiles_) {
      if (!terms.empty()) {
        multiply_step(terms, tile.row, tile.rows, p, sums(), kPanel, accumulate, next_p);
      }
      formulas_(tile);
      return;
    }
    TileWork products = terms.empty() ? TileWork()
                                      : tile_work_of_step(terms, tile.row, tile.rows, p, sums(),
                                                          kPanel, accumulate);
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
  bool by_row_;
  bool tiles_;
  const Formulas& formulas_;
  CellTile waiting_{};
  int parts_done_ = 0;
  alignas(64) float sums_[kRowsOfSums * kPanel];
};

}  // namespace unroll::cpu

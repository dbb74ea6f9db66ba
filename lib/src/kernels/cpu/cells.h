#pragma once

#include <cstdint>

#include "kernels/cell_table.h"
#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/tile_product.h"

namespace unroll::cpu {

/// The part of a time step that a call computes: the sequences [row, row + rows) of the batch and
/// `blocks` blocks of units from `block` on. `sums` holds the product of the previous state
/// (forward) or the next step's gradients (backward) with the recurrent weights for this part:
/// (rows, ...), `stride` floats from row to row.
struct CellTile {
  const float* sums;
  int64_t stride;
  int64_t time;        ///< t
  int64_t batch_size;  ///< B: row b of step t is row t*B + b of a matrix over time
  int64_t row;
  int64_t rows;
  int64_t block;
  int64_t blocks;
  int phase = 0;  ///< which of a step's products the sums are, of a cell that has two
  TileWork* meanwhile = nullptr;  ///< products that run beside the formulas, or null
};

/// Rounds of TileWork during the formulas of a tile.
inline int64_t rounds_of(const CellTile& tile, bool by_row) {
  return by_row ? tile.rows : tile.rows * tile.blocks;
}

/// The share of the inputs in the gates, X_t W_x + b: row `row[t*B + b]` of `values`.
struct CellInput {
  const Panels* values;
  const int32_t* row;
};

/// What the formulas of a layer's cell read and write.
///
/// Matrices over time hold T steps of B sequences; states T + 1 of them, the first of which is the
/// state before the first step. A state or gradient without values is kept in tiles only; the
/// formulas are then as exact as the tiles. Backward, the gradients by the gates' inputs replace
/// the gates, or become their tiles. What a cell does not have stays empty.
struct CellMemory {
  CellKind cell = CellKind::kRnn;
  Activations h = {};      ///< the states
  Panels c = {};           ///< LSTM: the cell states
  Activations gates = {};  ///< the gates side by side; backward, the gradients by their inputs
  Activations n = {};   ///< GRU: the candidate; with the reset after the product, what r multiplies
  Activations rh = {};  ///< GRU with the reset before the product: r h
  Panels b_hh = {};     ///< (1, H) GRU with the reset after the product
  BlockedView dh = {};  ///< (T*B, H) by each h from outside the recurrence; empty if among the sums
  /// (B, H) backward, from the next step to this one: LSTM, by c; GRU, by h, past the products
  Panels carry = {};
};

/// h' = tanh(sums + x), or max(0, sums + x).
void rnn_forward(const CellTile& tile, const CellInput& x, CellMemory& memory);
void rnn_backward(const CellTile& tile, CellMemory& memory);

/// Gates i, f, o, g = sigmoid or tanh(sums + x); c' = f c + i g; h' = o tanh(c').
void lstm_forward(const CellTile& tile, const CellInput& x, CellMemory& memory);
void lstm_backward(const CellTile& tile, CellMemory& memory);

/// Reset gate after the product, in one phase: gates z, r, n; p, kept as n, = sums of n + b_hh;
/// n = tanh(x + r p); h' = z h + (1 - z) n. Backward leaves in `gates` the gradients by the sums
/// and in `n` that by the input's share of n.
///
/// Reset gate before the product, in two: first z, r and r h, then n = tanh(sums + x) and
/// h' = z h + (1 - z) n. Backward first from h to n and z, then from r h, whose gradient is the
/// sums, to r and h.
void gru_forward(const CellTile& tile, const CellInput& x, CellMemory& memory);
void gru_backward(const CellTile& tile, CellMemory& memory);

}  // namespace unroll::cpu

/// For a cell's source, after Highway's headers: its two functions, by those compiled for the
/// instruction set of this machine.
#define UNROLL_DISPATCH_CELL(cell)                                                    \
  HWY_EXPORT(cell##_forward);                                                         \
  HWY_EXPORT(cell##_backward);                                                        \
  void cell##_forward(const CellTile& tile, const CellInput& x, CellMemory& memory) { \
    HWY_DYNAMIC_DISPATCH(cell##_forward)(tile, x, memory);                            \
  }                                                                                   \
  void cell##_backward(const CellTile& tile, CellMemory& memory) {                    \
    HWY_DYNAMIC_DISPATCH(cell##_backward)(tile, memory);                              \
  }

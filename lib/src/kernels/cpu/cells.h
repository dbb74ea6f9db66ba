#pragma once

#include <cstdint>

#include "kernels/cpu/activations.h"
#include "kernels/cpu/panels.h"
#include "kernels/cpu/tile_product.h"

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
  TileWork* meanwhile = nullptr;  ///< products that go on beside the formulas, or null
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

// Matrices over time hold T steps of B sequences; states T + 1 of them, the first of which is the
// state before the first step. A state or gradient without values is kept in tiles only; the
// formulas are then as exact as the tiles.
//
// Backward, `dh` (T*B, H) is the gradient by each h from outside the recurrence, or empty where it
// is among the sums. The gradients by the gates' inputs replace the gates, or become their tiles.

/// h' = tanh(sums + x).
void rnn_forward(const CellTile& tile, const CellInput& x, Activations& h);
/// dz (T*B, H): the gradient by sums + x.
void rnn_backward(const CellTile& tile, const Panels& dh, const Activations& h, Activations& dz);

/// h' = max(0, sums + x).
void rnn_relu_forward(const CellTile& tile, const CellInput& x, Activations& h);
/// dz (T*B, H): the gradient by sums + x: that by h where h > 0, else 0.
void rnn_relu_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                       Activations& dz);

/// Gates i, f, o, g (T*B, 4H) = sigmoid or tanh(sums + x); c' = f c + i g; h' = o tanh(c').
void lstm_forward(const CellTile& tile, const CellInput& x, Activations& gates, Panels& c,
                  Activations& h);
/// dc (B, H): by the cell state, from the next step to this one.
void lstm_backward(const CellTile& tile, const Panels& dh, const Panels& c, Activations& gates,
                   Panels& dc);

/// Reset gate after the product. Gates z, r, n (T*B, 3H); p (T*B, H) = sums of n + b_hh;
/// n = tanh(x + r p); h' = z h + (1 - z) n.
void gru_after_forward(const CellTile& tile, const CellInput& x, const Panels& b_hh,
                       Activations& gates, Activations& p, Activations& h);
/// Leaves in `gates` the gradients by the sums and in `p` that by the input's share of n.
/// carry (B, H): by h, past the product, from the next step to this one.
void gru_after_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                        Activations& gates, Activations& p, Panels& carry);

/// Reset gate before the product, first half: z, r (T*B, 2H), rh (T*B, H) = r h.
void gru_before_gates_forward(const CellTile& tile, const CellInput& x, const Activations& h,
                              Activations& gates, Activations& rh);
/// Second half: n (T*B, H) = tanh(sums + x), h' = z h + (1 - z) n.
void gru_before_state_forward(const CellTile& tile, const CellInput& x, const Activations& gates,
                              Activations& n, Activations& h);
/// Backward, first half: from h to n and z.
void gru_before_state_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                               Activations& gates, Activations& n, Panels& carry);
/// Second half: from rh (whose gradient is the sums) to r and h.
void gru_before_gates_backward(const CellTile& tile, const Activations& h, Activations& gates,
                               Panels& carry);

}  // namespace unroll::cpu

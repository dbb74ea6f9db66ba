#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cell_table.h"
#include "kernels/cpu/activations.h"
#include "kernels/cpu/panels.h"
#include "kernels/cpu/weights.h"

namespace unroll::cpu {

/// One gate's parameters, or where their gradients are to go, as the caller holds them.
struct GateParameters {
  StridedMatrix W_x;         ///< (V or inputs, H)
  StridedMatrix W_h;         ///< (H, H)
  float* b = nullptr;        ///< (H)
  float* b_again = nullptr;  ///< (H) a second bias that is added to the first, or none
};

/// One layer's.
struct LayerParameters {
  std::vector<GateParameters> gates;
  float* b_hh = nullptr;  ///< (H) GRU with the reset after the product: the bias inside it
};

/// The tokens of a batch, each distinct one once.
struct TokenRows {
  std::vector<int64_t> tokens;  ///< the distinct tokens
  std::vector<int32_t> slot;    ///< (T*B): which of them stands at step t of sequence b
};

/// Gates whose products with the same state are taken together: their weights, copied into the
/// products' layouts, and the inputs' share in them.
class GateGroup {
 public:
  /// `members`: which of the cell's gates.
  GateGroup(std::vector<int64_t> members, int64_t hidden)
      : members_(std::move(members)),
        gates_{.count = static_cast<int64_t>(members_.size()), .hidden = hidden} {}

  /// Copies the weights; those for the backward pass only when `with_backward`. `inputs`: rows of
  /// W_x, or 0 for a layer that reads tokens.
  void pack(const LayerParameters& parameters, int64_t inputs, int parts, bool with_backward);

  /// input() = X_t W_x + b, (distinct tokens, columns).
  void set_input(const TokenRows& rows, const LayerParameters& parameters);
  /// The same for a matrix, (T*B, columns): x's steps from `first_step` on.
  void set_input(const Activations& x, int64_t first_step, int64_t steps);

  const std::vector<int64_t>& members() const { return members_; }
  const Gates& gates() const { return gates_; }
  const Weights& recurrent_weights() const { return W_h_; }     ///< (H, columns)
  const Weights& transposed_weights() const { return W_h_t_; }  ///< (columns, H)
  const Panels& input() const { return input_; }

 private:
  std::vector<int64_t> members_;
  Gates gates_;
  Weights W_h_;
  Weights W_h_t_;
  Weights W_x_;  // (inputs, columns)
  Panels b_;     // (1, columns)
  Panels input_;
};

/// The groups of a cell: one for each product that a time step takes after the other.
std::vector<GateGroup> gate_groups(CellKind cell, int64_t hidden);

}  // namespace unroll::cpu

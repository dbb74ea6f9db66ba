#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cell_table.h"
#include "kernels/cpu/layer_parameters.h"
#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/weights.h"
#include "kernels/cpu/token_rows.h"

namespace unroll::cpu {

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

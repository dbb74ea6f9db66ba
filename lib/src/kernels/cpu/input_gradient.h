#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cpu/layer_parameters.h"
#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/weight_gradients.h"
#include "kernels/cpu/matrices/weights.h"
#include "kernels/cpu/token_rows.h"

namespace unroll::cpu {

/// The gradients by the inputs' share in some gates, and those that follow from them: by the
/// biases, W_x and the input.
class InputGradient {
 public:
  /// `members`: which of the cell's gates; -1 marks columns of its b_hh. `dz` (T*B, columns) are
  /// the gradients by their share.
  InputGradient(std::vector<int64_t> members, int64_t hidden, const Activations& dz)
      : members_(std::move(members)),
        gates_{.count = static_cast<int64_t>(members_.size()), .hidden = hidden},
        dz_(dz) {}

  /// Copies W_x (inputs, .) for dx below.
  void pack(const LayerParameters& parameters, int64_t inputs, int parts);

  /// The gradients that are sums of rows, of the biases and, of a layer that reads tokens, of the
  /// rows of W_x of tokens that occur. `rows` is null for a layer that reads a matrix.
  void sum(const TokenRows* rows, const LayerParameters& gradients);

  /// The gradient of W_x as a term for the matrix that is the input: its step `first_step` belongs
  /// to dz's first one.
  GradientTerm term(int64_t first_step, const LayerParameters& gradients) const;

  /// dx (T*B, inputs) = the gradient by the input, or += it when `accumulate`.
  void by_input(Panels& dx, bool accumulate) const;

 private:
  // One block of a gate's units: its biases' gradients and its columns of the tokens' rows of W_x.
  void write_block(const TokenRows* rows, int64_t column, const LayerParameters& gradients) const;

  std::vector<int64_t> members_;
  Gates gates_;
  const Activations& dz_;
  Weights W_x_t_;  // (columns, inputs)
  Panels sums_;    // (distinct tokens, or 1, columns)
};

}  // namespace unroll::cpu

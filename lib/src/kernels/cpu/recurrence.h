#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cell_table.h"
#include "kernels/cpu/cells.h"
#include "kernels/cpu/gate_group.h"
#include "kernels/cpu/input_gradient.h"
#include "kernels/cpu/layer_parameters.h"
#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/weight_gradients.h"
#include "kernels/cpu/matrices/weights.h"
#include "kernels/cpu/step_loop.h"
#include "kernels/cpu/token_rows.h"

namespace unroll::cpu {

/// One recurrent layer over one batch, with all that its time loops read and write.
///
/// Time step t of sequence b is row t*B + b.
class Recurrence {
 public:
  /// `parts`: of the tiles that products are computed from (tiles.h); 0 is float32.
  Recurrence(CellKind cell, int64_t hidden, int parts = 0);
  Recurrence(const Recurrence&) = delete;
  Recurrence& operator=(const Recurrence&) = delete;

  /// Copies the weights into the products' layouts; those for the backward pass only when
  /// `with_backward`. `inputs`: columns of the input matrix, or 0 for a layer that reads tokens.
  void pack(const LayerParameters& parameters, int64_t inputs, bool with_backward);

  /// Makes room for T steps of B sequences.
  void begin(int64_t steps, int64_t batch_size, bool with_backward);

  /// The state before the first step: row-major (B, H) each; null stands for zeros.
  void set_state(const float* h, const float* c);

  /// The input is tokens: computes X_t W_x + b once for each distinct token. `rows` must outlive
  /// its use; its slots may change.
  void set_input(const TokenRows& rows, const LayerParameters& parameters);
  /// The input is a matrix: x's steps from `first_step` on, which must stay valid until the
  /// backward pass.
  void set_input(const Activations& x, int64_t first_step);

  /// All time steps. Each step's h goes to the row-major `outputs` (T*B, H), too, unless it is
  /// null.
  void forward(float* outputs = nullptr);

  /// The state after the last step becomes the one before the first.
  void carry_state();

  /// The states, T + 1 steps: step t is before time step t.
  const Activations& h() const { return memory_.h; }
  /// The state after the last step, row-major (B, H); c is the LSTM's.
  void copy_state(float* h, float* c) const;

  /// Before backward(): the gradient by each step's h from outside the recurrence is a matrix (T*B,
  /// H), which the caller fills, or the caller's own, row-major, which must stay valid until then;
  /// null stands for zeros. Or it is the product of a matrix and weights, which each step adds to
  /// its own product.
  Panels& outside_gradient();
  void set_outside_gradient(const float* dh);
  void set_outside_gradient(const Activations& left, const Weights& right);

  /// The gradient by the state after the last step, row-major (B, H); null stands for zeros.
  void set_state_gradient(const float* dh, const float* dc);

  /// All time steps. The gradients below are available afterwards.
  void backward();

  /// After backward(): the gradients that are sums of rows, of the biases and, of a layer that
  /// reads tokens, of the rows of W_x of tokens that occur; the others are left alone.
  void summed_gradients(const LayerParameters& gradients);
  /// After backward(): the weights' gradients.
  ///
  /// `also`: the gradients of other weights by which the states were multiplied, step 1 being that
  /// after the first time step.
  void recurrent_gradients(const LayerParameters& gradients,
                           std::vector<GradientTerm> also = {}) const;
  /// Those of W_x as terms for the layer whose states are the input, or of a matrix.
  std::vector<GradientTerm> input_terms(const LayerParameters& gradients) const;

  /// After backward(), of a layer whose input was a matrix: the gradient by that input (T*B,
  /// inputs).
  void input_gradient(Panels& dx) const;
  /// After backward(): the gradient by the state before the first step, row-major (B, H) each.
  void state_gradient(float* dh, float* dc) const;

 private:
  const Activations& left(std::size_t phase) const { return phase == 0 ? memory_.h : memory_.rh; }
  const Activations& dz(std::size_t phase) const { return phase == 0 ? memory_.gates : memory_.n; }
  StepLoop step_loop(bool backward) const;
  void forward_part(const StepPart& part);
  void forward_cell(const CellTile& tile);
  void backward_part(const StepPart& part);
  void backward_cell(const CellTile& tile);

  int64_t hidden_;
  int parts_;
  int64_t inputs_ = 0;
  int64_t steps_ = 0;
  int64_t batch_size_ = 0;
  std::vector<GateGroup> groups_;  // one for each phase of a step
  std::vector<InputGradient> input_gradients_;

  const Activations* x_ = nullptr;  // the input, if it is a matrix
  int64_t x_first_step_ = 0;
  const TokenRows* tokens_ = nullptr;  // the input, if it is tokens
  std::vector<int32_t> every_row_;     // slots of a matrix: each row its own

  CellMemory memory_;
  float* outputs_ = nullptr;  // where the states go, too
  Panels dh_;                 // (T*B, H), where memory_.dh is no matrix of the caller's
  const Activations* outside_left_ = nullptr;  // their product takes the place of memory_.dh
  const Weights* outside_right_ = nullptr;
  Panels dh_last_;  // (B, H)
};

}  // namespace unroll::cpu

#pragma once

#include <cstdint>

#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/product.h"
#include "kernels/cpu/matrices/weight_gradients.h"
#include "kernels/cpu/matrices/weights.h"

namespace unroll::cpu {

/// The output layer's parameters, or where their gradients are to go.
struct OutputParameters {
  StridedMatrix W_hq;    ///< (H, V)
  float* b_q = nullptr;  ///< (V)
};

/// logits = h W_hq + b_q, and the cross-entropy of their softmax.
class OutputLayer {
 public:
  /// `parts`: of the tiles that products are computed from (tiles.h); 0 is float32.
  explicit OutputLayer(int parts = 0) : parts_(parts) {}

  /// Copies the weights into the products' layouts; those for the backward pass only when
  /// `with_backward`.
  void pack(const OutputParameters& parameters, bool with_backward);

  /// logits (T*B, V) of h's steps from the second on.
  void forward(const Activations& h, bool with_backward);

  /// Mean cross-entropy in nats; labels (T*B), of which those that are kIgnoredLabel do not count:
  /// not a number where none does. Its gradient by the logits replaces the logits.
  double mean_cross_entropy(const int64_t* labels);

  /// After forward() the logits; before backward() they must hold the gradient by them.
  Panels& logits() { return logits_.values(); }
  const Panels& logits() const { return logits_.values(); }

  /// Writes the bias' gradient and prepares the logits' for the functions below.
  void backward(const OutputParameters& gradients);

  /// After backward(): the gradient by h is the product of the gradient by the logits (T*B, V) and
  /// W_hq^T (V, H).
  const Activations& logits_gradient() const { return logits_; }
  const Weights& transposed_weights() const { return W_t_; }
  /// The gradient of W_hq, as a term for the layer that computed h.
  GradientTerm weight_term(const OutputParameters& gradients) const;

 private:
  int parts_;
  Weights W_;    // (H, V)
  Weights W_t_;  // (V, H)
  Panels b_;     // (1, V)
  Activations logits_;
  Panels sums_;
};

}  // namespace unroll::cpu

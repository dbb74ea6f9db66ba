#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/panels.h"

namespace unroll::cpu {

/// The output layer's parameters, or where their gradients are to go.
struct OutputParameters {
  StridedMatrix W_hq;    ///< (H, V)
  float* b_q = nullptr;  ///< (V)
};

/// logits = h W_hq + b_q, and the cross-entropy of their softmax.
class OutputLayer {
 public:
  /// Copies the weights to where the products find them; those for the backward pass when
  /// `with_backward`.
  void pack(const OutputParameters& parameters, bool with_backward);

  /// logits (R, V) of the R = h.rows() - first_row last rows of h.
  void forward(const Panels& h, int64_t first_row);

  /// Mean cross-entropy in nats; labels (R). The logits become the gradient of that mean by the
  /// logits.
  double mean_cross_entropy(const int64_t* labels);

  /// After forward() the logits; before backward() it must hold the gradient by them.
  Panels& logits() { return logits_; }
  const Panels& logits() const { return logits_; }

  /// Writes the parameters' gradients, and the gradient by h's rows to dh (R, H).
  void backward(const Panels& h, int64_t first_row, const OutputParameters& gradients, Panels& dh);

 private:
  Panels W_;    // (H, V)
  Panels W_t_;  // (V, H)
  Panels b_;    // (1, V)
  Panels logits_;
  Panels sums_;
  std::vector<int32_t> one_slot_;
};

}  // namespace unroll::cpu

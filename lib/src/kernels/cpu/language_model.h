#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/output_layer.h"
#include "kernels/cpu/recurrence.h"

namespace unroll::cpu {

/// A recurrent language model's parameters, or where their gradients are to go.
struct ModelParameters {
  std::vector<LayerParameters> layers;
  OutputParameters output;
};

/// Row-major states (L,B,H), h and (LSTM) c; null stands for zeros, or for "not wanted".
struct StatePointers {
  float* h = nullptr;
  float* c = nullptr;
};

/// One batch's way through a recurrent language model, forward and back: layers, output layer,
/// loss.
///
/// It may be used again for another batch, and then needs no new memory while the shapes stay the
/// same.
class LanguageModelPass {
 public:
  /// `parts`: of the tiles that products are computed from (tiles.h); 0 is float32.
  LanguageModelPass(CellKind cell, int64_t layers, int64_t hidden, int parts = 0);
  LanguageModelPass(const LanguageModelPass&) = delete;
  LanguageModelPass& operator=(const LanguageModelPass&) = delete;

  /// tokens[t*B + b] in [0,V). Afterwards logits() (T*B, V).
  void forward(const int64_t* tokens, int64_t steps, int64_t batch_size,
               const ModelParameters& parameters, const StatePointers& state, bool with_backward);
  /// Likewise for a matrix x (T*B, inputs), row-major; in float32 only.
  void forward(const float* x, int64_t inputs, int64_t steps, int64_t batch_size,
               const ModelParameters& parameters, const StatePointers& state, bool with_backward);

  const Panels& logits() const { return output_.logits(); }
  void copy_state(const StatePointers& to) const;

  /// Mean cross-entropy in nats; labels[t*B + b]. It leaves in the place of the logits its gradient
  /// by them.
  double mean_cross_entropy(const int64_t* labels) { return output_.mean_cross_entropy(labels); }

  /// From the gradient by the logits, which stands in their place, and by the states after the last
  /// step to those of all parameters, which are written to `gradients` (W_x of tokens: only the
  /// rows of tokens that occur).
  void backward(const ModelParameters& gradients, const StatePointers& state_gradient);
  Panels& logits_gradient() { return output_.logits(); }

  /// After backward(): the gradient by the states before the first step, and by x (T*B, inputs),
  /// row-major.
  void copy_state_gradient(const StatePointers& to) const;
  void copy_input_gradient(float* to) const;

 private:
  void run_layers(const ModelParameters& parameters, const StatePointers& state,
                  bool with_backward);

  int64_t hidden_;
  int64_t steps_ = 0;
  int64_t batch_size_ = 0;
  bool from_tokens_ = true;
  TokenRows tokens_;
  std::vector<int32_t> slot_of_token_;
  Activations x_;
  std::vector<std::unique_ptr<Recurrence>> layers_;
  OutputLayer output_;
};

}  // namespace unroll::cpu

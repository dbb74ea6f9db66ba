#pragma once

#include <cstdint>
#include <memory>
#include <span>
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

/// Masks between the layers: layer l + 1 reads layer l's states times masks[l], element by element.
/// Row-major (T*B, H), one for each layer but the last, or none at all; they must stay valid until
/// the backward pass.
using Masks = std::span<const float* const>;

/// A recurrent language model over one batch, forward and backward: layers, output layer, loss.
///
/// It can be used again for other batches, and allocates no memory while the shapes stay the same.
class LanguageModelPass {
 public:
  /// `parts`: of the tiles that products are computed from (tiles.h); 0 is float32.
  LanguageModelPass(CellKind cell, int64_t layers, int64_t hidden, int parts = 0);
  LanguageModelPass(const LanguageModelPass&) = delete;
  LanguageModelPass& operator=(const LanguageModelPass&) = delete;

  /// tokens[t*B + b] in [0,V). Afterwards logits() (T*B, V).
  void forward(const int64_t* tokens, int64_t steps, int64_t batch_size,
               const ModelParameters& parameters, const StatePointers& state, bool with_backward,
               Masks masks = {});
  /// Likewise for a matrix x (T*B, inputs), row-major; in float32 only, without masks.
  void forward(const float* x, int64_t inputs, int64_t steps, int64_t batch_size,
               const ModelParameters& parameters, const StatePointers& state, bool with_backward);

  const Panels& logits() const { return output_.logits(); }
  void copy_state(const StatePointers& to) const;

  /// Mean cross-entropy in nats; labels[t*B + b]. Its gradient by the logits replaces the logits.
  double mean_cross_entropy(const int64_t* labels) { return output_.mean_cross_entropy(labels); }

  /// Writes the gradients by all parameters to `gradients` (W_x of tokens: only the rows of tokens
  /// that occur). Reads the gradient by the logits, in their place, and that by the states after
  /// the last step.
  void backward(const ModelParameters& gradients, const StatePointers& state_gradient);
  Panels& logits_gradient() { return output_.logits(); }

  /// After backward(): the gradient by the states before the first step, and by x (T*B, inputs),
  /// row-major.
  void copy_state_gradient(const StatePointers& to) const;
  void copy_input_gradient(float* to) const;

 private:
  void run_layers(const ModelParameters& parameters, const StatePointers& state,
                  bool with_backward);
  // The states of layer l through its mask.
  const Activations& mask_states(std::size_t l);
  // The gradient by what mask_states gave becomes that by the states.
  void mask_gradient(std::size_t l, Panels& gradient) const;
  // Calls work(t) for each step, on all threads: something for each of its states of one layer.
  template <typename Work>
  void for_steps(const Work& work) const;

  int64_t hidden_;
  int parts_;
  int64_t steps_ = 0;
  int64_t batch_size_ = 0;
  bool from_tokens_ = true;
  TokenRows tokens_;
  std::vector<int32_t> slot_of_token_;
  Activations x_;
  std::vector<std::unique_ptr<Recurrence>> layers_;
  std::vector<const float*> masks_;
  std::vector<Activations> masked_;  // T steps each, where there are masks
  OutputLayer output_;
};

}  // namespace unroll::cpu

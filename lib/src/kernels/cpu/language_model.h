#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/layer_stack.h"
#include "kernels/cpu/output_layer.h"

namespace unroll::cpu {

/// A recurrent language model's parameters, or where their gradients are to go.
struct ModelParameters {
  std::vector<LayerParameters> layers;
  OutputParameters output;
};

/// A recurrent language model over one batch, forward and backward: layers, output layer, loss.
///
/// It can be used again for other batches, and allocates no memory while the shapes stay the same.
class LanguageModelPass {
 public:
  /// `parts`: of the tiles that products are computed from (tiles.h); 0 is float32.
  LanguageModelPass(CellKind cell, int64_t layers, int64_t hidden, int parts = 0)
      : layers_(cell, layers, hidden, parts), output_(parts) {}

  /// Afterwards logits() (T*B, V).
  void forward(const ModelParameters& parameters, const LayerBatch& batch);

  const Panels& logits() const { return output_.logits(); }
  void copy_state(const StatePointers& to) const { layers_.copy_state(to); }

  /// Mean cross-entropy in nats; labels[t*B + b]. Its gradient by the logits replaces the logits.
  double mean_cross_entropy(const int64_t* labels) { return output_.mean_cross_entropy(labels); }

  /// Writes the gradients by all parameters to `gradients` (W_x of tokens: only the rows of tokens
  /// that occur). Reads the gradient by the logits, in their place, and that by the states after
  /// the last step. With `done`, each layer's gradients are completed before the one below it
  /// begins, from the output layer down.
  void backward(const ModelParameters& gradients, const StatePointers& state_gradient,
                const LayerDone& done = {});
  Panels& logits_gradient() { return output_.logits(); }

  /// After backward(): the gradient by the states before the first step.
  void copy_state_gradient(const StatePointers& to) const { layers_.copy_state_gradient(to); }

 private:
  LayerStack layers_;
  OutputLayer output_;
};

}  // namespace unroll::cpu

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cpu/recurrence.h"

namespace unroll::cpu {

/// Row-major states (L,B,H), h and (LSTM) c; null stands for zeros, or for "not wanted".
struct StatePointers {
  float* h = nullptr;
  float* c = nullptr;
};

/// What layers are to read: step t of sequence b is row t*B + b.
struct LayerBatch {
  int64_t steps = 0;
  int64_t batch_size = 0;
  const int64_t* tokens = nullptr;  ///< (T*B), each a row of the first layer's W_x
  const float* x = nullptr;         ///< or row-major (T*B, inputs), where there are no tokens
  StatePointers state = {};         ///< before the first step
  /// Between the layers: layer l + 1 reads layer l's states times masks[l], element by element.
  /// Row-major (T*B, H), one for each layer but the last, or none at all; they must stay valid
  /// until the backward pass.
  std::span<const float* const> masks = {};
  float* outputs = nullptr;  ///< where the last layer's states go, row-major (T*B, H), or null
  bool with_backward = false;
};

/// Called when all of a layer's gradients by parameters are written, layer L for the output layer.
using LayerDone = std::function<void(int64_t layer)>;

/// Recurrent layers over one batch, each on the states of the one below it, forward and backward.
///
/// They can be used again for other batches, and allocate no memory while the shapes stay the same.
class LayerStack {
 public:
  /// `parts`: of the tiles that products are computed from (tiles.h); 0 is float32.
  LayerStack(CellKind cell, int64_t layers, int64_t hidden, int parts = 0);
  LayerStack(const LayerStack&) = delete;
  LayerStack& operator=(const LayerStack&) = delete;

  void forward(std::span<const LayerParameters> parameters, const LayerBatch& batch);

  /// After forward(): the last layer's states, the first step of which is that before the batch's.
  const Activations& h() const { return layers_.back()->h(); }
  /// All layers' after the last step.
  void copy_state(const StatePointers& to) const;

  /// The last layer, which takes the gradient by its states before backward().
  Recurrence& last() { return *layers_.back(); }

  /// Writes the gradients by all parameters to `gradients` (W_x of tokens: only the rows of tokens
  /// that occur), or none if that is empty. `state_gradient`: by the states after the last step.
  /// `also`: the gradients of other weights by which the last layer's states were multiplied, step
  /// 1 being that after the first time step. With `done`, a layer's gradients are completed before
  /// the layer below it begins; without, W_x's may be computed together with that layer's.
  void backward(std::span<const LayerParameters> gradients, const StatePointers& state_gradient,
                std::vector<GradientTerm> also = {}, const LayerDone& done = {});

  /// After backward(): the gradient by the states before the first step, and by x, row-major.
  void copy_state_gradient(const StatePointers& to) const;
  void copy_input_gradient(float* to);

 private:
  void find_tokens(const int64_t* tokens, int64_t rows);
  // The matrix that layer l reads; null for tokens.
  const Activations* input(std::size_t l) const;
  // The states of layer l through its mask.
  const Activations& mask_states(std::size_t l);
  // The gradient by what mask_states gave becomes that by the states.
  void mask_gradient(std::size_t l, Panels& gradient) const;
  // Calls work(t, first row) for each step, on all threads: something for each of `columns` values
  // of each sequence.
  template <typename Work>
  void for_steps(int64_t columns, const Work& work) const;

  int64_t hidden_;
  int parts_;
  int64_t steps_ = 0;
  int64_t batch_size_ = 0;
  bool from_tokens_ = true;
  TokenRows tokens_;
  std::vector<int32_t> slot_of_token_;
  Activations x_;
  std::vector<std::unique_ptr<Recurrence>> layers_;
  Panels dx_;
  std::vector<const float*> masks_;
  std::vector<Activations> masked_;  // T steps each, where there are masks
};

}  // namespace unroll::cpu

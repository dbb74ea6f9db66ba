#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "unroll/tensors.h"

#pragma GCC visibility push(default)
namespace unroll {

struct Compute;
struct ModelConfig;

/// Runs a model token by token, without gradients, from a state of zeros. Text is generated with
/// it.
class Decoder {
 public:
  virtual ~Decoder() = default;

  /// Feeds one more token to each of the B sequences.
  ///
  /// tokens (B), indices in [0,V) -> logits (B,V) of what follows, row-major, valid until the next
  /// call. Throws Error for another number of tokens, or one outside [0,V).
  virtual std::span<const float> step(std::span<const int64_t> tokens) = 0;

  /// How many steps most_likely computes at little more than the cost of one; 0 if it cannot.
  virtual int64_t steps_at_once() const { return 0; }

  /// Computes T steps. Each after the first takes a given token, or the most likely one of the step
  /// before.
  ///
  /// fed (T,B): the tokens; -1 for the most likely one, not at the first step. Returns (T,B): the
  /// most likely token after each step, the first of equally likely ones, never `never`. It is -1
  /// where the next token was given, and where all logits are -infinity or not a number. Throws
  /// Error if the decoder cannot do this.
  virtual std::vector<int64_t> most_likely(std::span<const int64_t> fed,
                                           std::optional<int64_t> never);
};

/// Called with one of a model's weights and the gradient by it, which is valid during the call.
using GradientCallback =
    std::function<void(const torch::Tensor& weight, const torch::Tensor& gradient)>;

/// A recurrent language model, as training, prediction and checkpoints see it.
///
/// The models of this library check what they are fed and throw Error, which names the value and
/// the bound. X is (B,T), B and T at least 1, of an integer dtype, with tokens in [0,V). Y has the
/// shape of X; a label of -100 is left out of the loss, as torch does. A state is as begin_state
/// gives it: its count, shapes, dtype and device. The values of tokens and labels are looked at on
/// a CPU only, since another device would be waited for.
class SequenceModel {
 public:
  virtual ~SequenceModel() = default;

  /// Logits of the token that follows each token, and the state after the last.
  ///
  /// X (B,T), token indices in [0,V) -> logits (T*B,V), time step by time step.
  virtual std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) = 0;

  /// Mean cross-entropy in nats over the batch's labels, a scalar with gradient, and the state.
  virtual std::pair<torch::Tensor, State> loss(const Batch& batch, const State& state);

  /// The same, and in the backward pass `on_gradient` is called, at most once for each weight, when
  /// the gradient that the pass adds to the weight's .grad is complete: long before the pass ends,
  /// where a model computes it as one operation. It may be empty. This default never calls it.
  virtual std::pair<torch::Tensor, State> reporting_loss(const Batch& batch, const State& state,
                                                         const GradientCallback& on_gradient);

  /// A decoder that computes with the weights as they are now. The model must outlive it,
  /// unchanged. Throws Error unless batch_size is at least 1, as begin_state does.
  virtual std::unique_ptr<Decoder> make_decoder(int64_t batch_size);

  /// The state before the first token: zeros, of the weights' dtype.
  virtual State begin_state(int64_t batch_size) const = 0;

  /// V, entries of the vocabulary.
  virtual int64_t vocab_size() const = 0;

  /// What is computed: from such a description a model of the same function can be made. Throws
  /// Error, which says why, when there is none, as for an own cell. So does this default.
  virtual ModelConfig config() const;

  /// The parameters, by stable names in a stable order; the live tensors, not copies.
  virtual NamedTensors weights() const = 0;

  /// Fixed at construction.
  virtual torch::Device device() const = 0;

  /// How batches of `batch_size` sequences are computed: the backend (never kAuto), its precision,
  /// and whether training steps are captured. On a CUDA device the first call for a size may time
  /// some steps, which train nothing, to find out who is faster; a training makes that call.
  virtual Compute effective_compute(int64_t batch_size) const;

  /// Switches dropout on or off. A model without dropout ignores the call.
  virtual void train(bool on) { static_cast<void>(on); }
  /// Whether dropout is on.
  virtual bool is_training() const noexcept { return false; }

 protected:
  SequenceModel() = default;
  /// Derived classes say whether they can be copied.
  SequenceModel(const SequenceModel&) = default;
  /// As the constructor.
  SequenceModel& operator=(const SequenceModel&) = default;
};

/// While this object lives, the model runs without gradients and without dropout.
class Inference {
 public:
  /// The model must outlive it.
  explicit Inference(SequenceModel& model) : model_(model), was_training_(model.is_training()) {
    model_.train(false);
  }
  ~Inference() { model_.train(was_training_); }
  Inference(const Inference&) = delete;
  Inference& operator=(const Inference&) = delete;

 private:
  torch::NoGradGuard no_grad_;
  SequenceModel& model_;
  bool was_training_;
};

/// Copies values into the model's weights, by name.
/// Throws Error when a name is missing or unexpected, or a shape differs; then nothing is changed.
void load_weights(SequenceModel& model, const NamedTensors& source);

}  // namespace unroll
#pragma GCC visibility pop

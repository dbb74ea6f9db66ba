#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "unroll/compute.h"
#include "unroll/model.h"

namespace unroll {

/// One way of computing a model: by its own formulas, by kernels for a CPU or a GPU, or by cuDNN.
///
/// `tensors` are the model's weights and then its states.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Which one it is.
  virtual Backend backend() const = 0;

  /// The precision in which it computes batches of so many sequences; nothing where it cannot.
  virtual std::optional<Precision> precision(int64_t batch_size, at::TensorList tensors) const = 0;

  /// Logits (T*B,V), or the mean cross-entropy where the batch has labels, and the states.
  /// `on_gradient` is that of SequenceModel::reporting_loss.
  virtual std::pair<torch::Tensor, State> run(const std::vector<torch::Tensor>& tensors,
                                              const Batch& batch, const State& state,
                                              const GradientCallback& on_gradient) = 0;

  /// Null where it has none of its own.
  virtual std::unique_ptr<Decoder> make_decoder(int64_t batch_size) = 0;
};

/// What run returns of these logits: themselves, or the loss.
std::pair<torch::Tensor, State> result_of(const Batch& batch, const torch::Tensor& logits,
                                          State after);

/// The model's own formulas. The model must outlive the engine, here and below.
std::unique_ptr<Engine> make_plain_engine(SequenceModel& model);

/// The CPU's kernels. `config` has its defaults filled in and is the model's.
std::unique_ptr<Engine> make_cpu_engine(SequenceModel& model, const ModelConfig& config,
                                        const Compute& compute);

/// Those of the CUDA part, or null where there is none.
std::unique_ptr<Engine> make_cuda_engine(SequenceModel& model, const ModelConfig& config,
                                         const Compute& compute);

/// cuDNN, or null where there is none, or where it cannot do what is asked: the cell, or dropout
/// that is drawn from a generator of one's own.
std::unique_ptr<Engine> make_cudnn_engine(SequenceModel& model, const ModelConfig& config,
                                          const Compute& compute);

}  // namespace unroll

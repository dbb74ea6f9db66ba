#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "unroll/compute.h"
#include "unroll/model.h"

namespace unroll {

class CudaKernels;

/// A model's own formulas over the model's own parameters, faster: all time steps, the output layer
/// and the loss are one autograd node with a hand-written backward pass over packed weights.
///
///     const auto net = make_model({.model = ModelKind::kFused, .cell = Cell::kLstm}, V,
///     torch::kCPU);
///
/// It computes from float32 weights, in the precision of its description, on a CPU, and on a CUDA
/// device if its description has cuda_kernels; any other model computes as it always did, and so
/// does one whose weights find no room in a GPU's multiprocessors. Decoders are float32 in any
/// case; on a CUDA device those of one layer take many steps at once. The same weights give the
/// same results whatever the number of threads. On a CPU dropout takes the draws that the model's
/// own would take from LibTorch's generator, and drops the same. The graph can be differentiated
/// once, without create_graph. One thread may use a model at a time.
class FusedModel : public SequenceModel {
 public:
  /// `model`: scratch or concise, any number of layers, as make_model(parameter_model(config), ...)
  /// makes it. Throws UsageError for the mlp cell, which has no recurrence, Error for a model that
  /// is not what `config` says, a precision that the device does not have, or CUDA kernels that
  /// this build does not have.
  FusedModel(std::unique_ptr<SequenceModel> model, const ModelConfig& config);
  ~FusedModel() override;

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override;
  std::pair<torch::Tensor, State> loss(const Batch& batch, const State& state) override;
  std::unique_ptr<Decoder> make_decoder(int64_t batch_size) override;
  State begin_state(int64_t batch_size) const override { return model_->begin_state(batch_size); }
  NamedTensors weights() const override { return model_->weights(); }
  torch::Device device() const override { return model_->device(); }
  void train(bool on) override { model_->train(on); }
  bool is_training() const noexcept override { return model_->is_training(); }

  /// Whether kernels of its own compute batches of so many sequences.
  bool has_kernels(int64_t batch_size) const;

  /// The precision in which it computes them: that of its description, but float32 where kernels
  /// of its own do not, or on a CUDA device in float32 alone, as the weights find no room in bf16.
  Precision precision(int64_t batch_size) const;

 private:
  class Passes;

  // Logits, or the loss when there are labels.
  std::pair<torch::Tensor, State> run(const torch::Tensor& X, const torch::Tensor& Y,
                                      const State& state);

  std::unique_ptr<SequenceModel> model_;
  ModelConfig config_;
  std::unique_ptr<Passes> passes_;
  const CudaKernels* kernels_ = nullptr;  // of a model on a CUDA device, if it is to use them
  Precision precision_;                   // of its description
};

/// The precision in which a model computes batches of so many sequences: a fused one's, else
/// float32.
Precision precision_of(const SequenceModel& model, int64_t batch_size);

/// The scratch cells' forward functions over the same parameters, for RNNModelScratch: what `rnn`,
/// `gru`, `gru_reset_after` and `lstm` compute, as one autograd node each.
///
/// inputs (T,B,V) float32, state and parameters on a CPU; anything else goes to the plain function.
std::pair<torch::Tensor, State> fused_rnn(const torch::Tensor& inputs, const State& state,
                                          const NamedTensors& params);
std::pair<torch::Tensor, State> fused_gru(const torch::Tensor& inputs, const State& state,
                                          const NamedTensors& params);
std::pair<torch::Tensor, State> fused_gru_reset_after(const torch::Tensor& inputs,
                                                      const State& state,
                                                      const NamedTensors& params);
std::pair<torch::Tensor, State> fused_lstm(const torch::Tensor& inputs, const State& state,
                                           const NamedTensors& params);

}  // namespace unroll

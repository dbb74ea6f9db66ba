#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "fused/engine.h"
#include "kernels/cell_table.h"
#include "unroll/compute.h"

namespace unroll {

/// A model that is computed as it is asked for: by the first of its engines that can.
class ComputedModel : public SequenceModel {
 public:
  /// `compute` is one that the model and its device have; plain for a model without description.
  ComputedModel(std::shared_ptr<SequenceModel> model, const Compute& compute);

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override;
  std::pair<torch::Tensor, State> loss(const Batch& batch, const State& state) override;
  std::pair<torch::Tensor, State> reporting_loss(const Batch& batch, const State& state,
                                                 const GradientCallback& on_gradient) override;
  std::unique_ptr<Decoder> make_decoder(int64_t batch_size) override;
  State begin_state(int64_t batch_size) const override { return model_->begin_state(batch_size); }
  int64_t vocab_size() const override { return model_->vocab_size(); }
  ModelConfig config() const override { return model_->config(); }
  NamedTensors weights() const override { return model_->weights(); }
  torch::Device device() const override { return model_->device(); }
  Compute effective_compute(int64_t batch_size) const override;
  void train(bool on) override { model_->train(on); }
  bool is_training() const noexcept override { return model_->is_training(); }

 private:
  std::pair<torch::Tensor, State> run(const Batch& batch, const State& state,
                                      const GradientCallback& on_gradient);
  // Throws Error where dropout would not draw from the generator that was given.
  void require_own_generator(const Engine& used) const;
  Engine& engine(int64_t batch_size, at::TensorList tensors) const;
  // Those that compute such batches in the precision that was asked for, or else in float32.
  std::vector<Engine*> able_engines(int64_t batch_size, at::TensorList tensors) const;
  // Takes the time of kernels and cuDNN where both can and figures do not decide, once. Not with
  // dropout, for which cuDNN keeps memory that all models share.
  void choose(int64_t batch_size, at::TensorList tensors) const;

  // Whether cuDNN is estimated to be the faster one of these.
  bool is_left_to_cudnn(const std::vector<Engine*>& able, int64_t batch_size) const;

  std::shared_ptr<SequenceModel> model_;
  Precision asked_precision_;
  Backend preferred_;
  GraphMode graph_;
  std::optional<at::Generator> generator_;
  bool has_dropout_ = false;
  std::vector<std::unique_ptr<Engine>> engines_;  // the last one, the plain one, can always
  CellKind cell_ = CellKind::kRnn;  // this and hidden_: of engines that are no plain one
  int64_t hidden_ = 0;
  mutable std::map<int64_t, Engine*> chosen_;  // by batch size: the fastest, as was measured
};

}  // namespace unroll

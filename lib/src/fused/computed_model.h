#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "fused/engine.h"
#include "unroll/compute.h"

namespace unroll {

/// A model that is computed as it is asked for: by the first of its engines that can.
class ComputedModel : public SequenceModel {
 public:
  /// `config` has its defaults filled in.
  ComputedModel(std::unique_ptr<SequenceModel> model, const ModelConfig& config,
                const Compute& compute);

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    return run({X, {}}, state);
  }
  std::pair<torch::Tensor, State> loss(const Batch& batch, const State& state) override {
    return run(batch, state);
  }
  std::unique_ptr<Decoder> make_decoder(int64_t batch_size) override;
  State begin_state(int64_t batch_size) const override { return model_->begin_state(batch_size); }
  NamedTensors weights() const override { return model_->weights(); }
  torch::Device device() const override { return model_->device(); }
  Compute effective_compute(int64_t batch_size) const override;
  void train(bool on) override { model_->train(on); }
  bool is_training() const noexcept override { return model_->is_training(); }

 private:
  std::pair<torch::Tensor, State> run(const Batch& batch, const State& state);
  Engine& engine(int64_t batch_size, at::TensorList tensors) const;

  std::unique_ptr<SequenceModel> model_;
  GraphMode graph_;
  std::vector<std::unique_ptr<Engine>> engines_;  // the last one, the plain one, can always
};

}  // namespace unroll

#include "fused/engine.h"

namespace unroll {
namespace {

class PlainEngine : public Engine {
 public:
  explicit PlainEngine(SequenceModel& model) : model_(model) {}

  Backend backend() const override { return Backend::kPlain; }
  std::optional<Precision> precision(int64_t /*batch_size*/,
                                     at::TensorList /*tensors*/) const override {
    return Precision::kFp32;
  }
  std::pair<torch::Tensor, State> run(const std::vector<torch::Tensor>& /*tensors*/,
                                      const Batch& batch, const State& state,
                                      const GradientCallback& /*on_gradient*/) override {
    return batch.Y.defined() ? model_.loss(batch, state) : model_.forward(batch.X, state);
  }
  std::unique_ptr<Decoder> make_decoder(int64_t batch_size) override {
    return model_.make_decoder(batch_size);
  }

 private:
  SequenceModel& model_;
};

}  // namespace

std::pair<torch::Tensor, State> result_of(const Batch& batch, const torch::Tensor& logits,
                                          State after) {
  return {batch.Y.defined() ? torch::cross_entropy_loss(logits, batch.Y.t().reshape({-1})) : logits,
          std::move(after)};
}

std::unique_ptr<Engine> make_plain_engine(SequenceModel& model) {
  return std::make_unique<PlainEngine>(model);
}

}  // namespace unroll

#include "fused/engine.h"
#include "fused/torch_layers.h"
#include "layers/cudnn.h"
#include "layers/layout.h"
#include "layers/tensor_pointers.h"

namespace unroll {
namespace {

class CudnnEngine : public Engine {
 public:
  CudnnEngine(SequenceModel& model, const ModelConfig& config, const Compute& compute)
      : model_(model),
        layout_(layout_of(config)),
        dropout_(config.dropout),
        precision_(compute.precision) {}

  Backend backend() const override { return Backend::kCudnn; }

  std::optional<Precision> precision(int64_t /*batch_size*/,
                                     at::TensorList tensors) const override {
    return all_float(tensors) ? std::optional(precision_) : std::nullopt;
  }

  std::pair<torch::Tensor, State> run(const std::vector<torch::Tensor>& tensors, const Batch& batch,
                                      const State& state,
                                      const GradientCallback& /*on_gradient*/) override {
    if (layout_.concise && precision_ == Precision::kFp32) {
      // The model's own layer is cuDNN's, with its weights in place.
      return batch.Y.defined() ? model_.loss(batch, state) : model_.forward(batch.X, state);
    }
    check_weight_count(layout_, tensors.size() - state.size());
    const at::TensorList weights(tensors.data(), weight_count(layout_));
    auto [logits, after] = run_by_torch_layers(layout_, weights, batch.X, state,
                                               model_.is_training() ? dropout_ : 0, precision_);
    return result_of(batch, logits, std::move(after));
  }

  std::unique_ptr<Decoder> make_decoder(int64_t /*batch_size*/) override { return nullptr; }

 private:
  SequenceModel& model_;
  Layout layout_;
  double dropout_;
  Precision precision_;
};

}  // namespace

std::unique_ptr<Engine> make_cudnn_engine(SequenceModel& model, const ModelConfig& config,
                                          const Compute& compute) {
  return has_cudnn(config, compute) ? std::make_unique<CudnnEngine>(model, config, compute)
                                    : nullptr;
}

}  // namespace unroll

#include <memory>

#include "cuda_part/cuda_part.h"
#include "fused/cuda_decoder.h"
#include "fused/cuda_language_model.h"
#include "fused/engine.h"
#include "layers/layout.h"
#include "layers/tensor_pointers.h"

namespace unroll {
namespace {

class CudaEngine : public Engine {
 public:
  CudaEngine(const CudaKernels& kernels, SequenceModel& model, const ModelConfig& config,
             const Compute& compute)
      : kernels_(kernels),
        model_(model),
        layout_(layout_of(config)),
        dropout_(config.dropout),
        generator_(compute.generator),
        operands_(kernels, compute.precision, layout_.cell, config.hidden) {}

  Backend backend() const override { return Backend::kFused; }

  std::optional<Precision> precision(int64_t batch_size, at::TensorList tensors) const override {
    const auto found = operands(batch_size, tensors);
    if (!found) {
      return std::nullopt;
    }
    return *found == cuda::Operands::kBf16 ? Precision::kBf16 : Precision::kFp32;
  }

  std::pair<torch::Tensor, State> run(const std::vector<torch::Tensor>& tensors, const Batch& batch,
                                      const State& state,
                                      const GradientCallback& /*on_gradient*/) override {
    check_weight_count(layout_, tensors.size() - state.size());
    const at::TensorList weights(tensors.data(), weight_count(layout_));
    return run_on_cuda(kernels_, layout_, weights, batch, state,
                       model_.is_training() ? dropout_ : 0,
                       operands(batch.X.size(0), tensors).value(), generator_, workspace_);
  }

  std::unique_ptr<Decoder> make_decoder(int64_t batch_size) override {
    const auto weights = values(model_.weights());
    return all_float(weights) && can_decode(kernels_, layout_, weights, batch_size)
               ? std::make_unique<CudaDecoder>(kernels_, layout_, model_, batch_size)
               : nullptr;
  }

 private:
  // What the kernels multiply; nothing where there are none, as for tensors that are not float32.
  std::optional<cuda::Operands> operands(int64_t batch_size, at::TensorList tensors) const {
    return all_float(tensors) ? operands_.of(batch_size, tensors.front().device()) : std::nullopt;
  }

  const CudaKernels& kernels_;
  SequenceModel& model_;
  Layout layout_;
  double dropout_;
  std::optional<at::Generator> generator_;
  std::shared_ptr<Workspace> workspace_ = std::make_shared<Workspace>();
  mutable LayerOperands operands_;
};

}  // namespace

std::unique_ptr<Engine> make_cuda_engine(SequenceModel& model, const ModelConfig& config,
                                         const Compute& compute) {
  const auto& cuda = cuda_part();
  return cuda.kernels ? std::make_unique<CudaEngine>(*cuda.kernels, model, config, compute)
                      : nullptr;
}

}  // namespace unroll

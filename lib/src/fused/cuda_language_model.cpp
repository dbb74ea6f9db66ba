#include "fused/cuda_language_model.h"

#include "fused/cuda_output.h"
#include "fused/engine.h"

namespace unroll {

std::pair<torch::Tensor, State> run_on_cuda(const CudaKernels& kernels, const Layout& layout,
                                            at::TensorList weights, const Batch& batch,
                                            const State& state, double dropout,
                                            cuda::Operands operands,
                                            const std::optional<at::Generator>& generator,
                                            const std::shared_ptr<Workspace>& workspace) {
  check_weight_count(layout, weights.size());
  auto [outputs, next] =
      run_layers_on_cuda(kernels, layout, weights.slice(0, layer_weight_count(layout)), batch.X.t(),
                         state, operands, workspace, dropout, generator);
  const int64_t H = outputs.size(2);
  const auto h = outputs.view({-1, H});
  const auto& b_q = weights.back();
  const auto& stored = weights[weights.size() - 2];
  const auto W_hq = layout.concise ? stored.t() : stored;
  if (batch.Y.defined() && has_output_kernel(kernels, H, b_q.numel(), b_q.device())) {
    return {loss_on_cuda(kernels, h, W_hq, b_q, batch.Y.t().reshape({-1}), workspace),
            std::move(next)};
  }
  return result_of(batch, torch::addmm(b_q, h, W_hq), std::move(next));
}

}  // namespace unroll

#include "train/updater_state.h"

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

torch::Tensor fitting(const torch::Tensor& loaded, const NamedTensor& weight) {
  if (loaded.sizes() != weight.tensor.sizes() ||
      loaded.scalar_type() != weight.tensor.scalar_type()) {
    throw Error(formatted("the optimizer's state of {} has another shape or type than the weight",
                          weight.name));
  }
  return loaded.to(weight.tensor.device(), weight.tensor.scalar_type(), /*non_blocking=*/false,
                   /*copy=*/true);
}

int64_t steps_of(const NamedTensors& tensors, const NamedTensor& weight) {
  constexpr int64_t kMost = int64_t{1} << 53;
  const auto& step = tensor_named(tensors, weight.name + ".step");
  if (step.numel() != 1 || step.scalar_type() != torch::kInt64 || step.item<int64_t>() < 0 ||
      step.item<int64_t>() > kMost) {
    throw Error(formatted("the optimizer's step of {} is not one int64 >= 0", weight.name));
  }
  return step.item<int64_t>();
}

}  // namespace unroll

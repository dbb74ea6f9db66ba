#include "train/updater_state.h"

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

torch::Tensor copy_fitting(const torch::Tensor& loaded, const torch::Tensor& expected,
                           std::string_view what) {
  if (!loaded.defined()) {
    throw Error(formatted("{} is missing", what));
  }
  if (loaded.sizes() != expected.sizes() || loaded.scalar_type() != expected.scalar_type()) {
    throw Error(formatted("{} must be {} of shape [{}], got {} of [{}]", what,
                          c10::toString(expected.scalar_type()), joined(expected.sizes(), ", "),
                          c10::toString(loaded.scalar_type()), joined(loaded.sizes(), ", ")));
  }
  return loaded.to(expected.device(), expected.scalar_type(), /*non_blocking=*/false,
                   /*copy=*/true);
}

torch::Tensor stored_for(const NamedTensor& weight, const NamedTensors& state,
                         const std::string& what) {
  return copy_fitting(tensor_named(state, weight.name + what), weight.tensor,
                      formatted("the optimizer's state of {}", weight.name));
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

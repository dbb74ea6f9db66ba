#pragma once

#include <torch/types.h>

#include <utility>

#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/train.h"

namespace unroll {

/// The sums of no batch, on a device.
inline Sums zero_sums(torch::Device device) {
  const auto options = torch::TensorOptions().device(device);
  return {.loss = torch::zeros({}, options.dtype(torch::kFloat64)),
          .grad_norm = torch::zeros({}, options.dtype(torch::kFloat64)),
          .nonfinite = torch::zeros({}, options.dtype(torch::kInt64))};
}

/// The running epoch's sums, which begin with zeros.
inline Sums& begin_sums(TrainProgress& progress, torch::Device device) {
  if (!progress.sums.loss.defined()) {
    progress.sums = zero_sums(device);
  }
  return progress.sums;
}

/// Room for a state like this one.
inline State empty_like(const State& state) {
  State room;
  for (const auto& s : state) {
    room.push_back(torch::empty_like(s, torch::MemoryFormat::Contiguous));
  }
  return room;
}

/// The loss of a batch and the state after it, as the options want it. `on_gradient` is called as
/// the model calls it; never with a loss of the user's own, which may ask the model more than once,
/// or use its weights otherwise.
inline std::pair<torch::Tensor, State> loss_of(SequenceModel& net, const Batch& batch,
                                               const State& state, const StepOptions& options,
                                               const GradientCallback& on_gradient) {
  auto result = options.loss ? options.loss(net, batch, state)
                             : net.reporting_loss(batch, state, on_gradient);
  const auto& loss = result.first;
  if (!loss.defined() || loss.dim() != 0 || !loss.requires_grad()) {
    throw Error(formatted("a loss must be a scalar with a gradient, got {}",
                          !loss.defined()   ? "no tensor"
                          : loss.dim() != 0 ? formatted("shape [{}]", joined(loss.sizes(), ", "))
                                            : "one without"));
  }
  if (result.second.size() != state.size()) {
    throw Error(formatted("the state after a batch must have {} tensors, got {}", state.size(),
                          result.second.size()));
  }
  return result;
}

}  // namespace unroll

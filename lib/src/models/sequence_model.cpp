#include "base/formatted.h"
#include "models/arguments.h"
#include "models/forward_decoder.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {

std::pair<torch::Tensor, State> SequenceModel::loss(const Batch& batch, const State& state) {
  const auto [X, Y] = checked_batch(batch, vocab_size(), device());
  auto [logits, new_state] = forward(X, state);
  // Y transposed, so that labels and logits both run time step by time step.
  return {torch::cross_entropy_loss(logits, Y.t().reshape({-1})), std::move(new_state)};
}

std::pair<torch::Tensor, State> SequenceModel::reporting_loss(
    const Batch& batch, const State& state, const GradientCallback& /*on_gradient*/) {
  return loss(batch, state);
}

std::vector<int64_t> Decoder::most_likely(std::span<const int64_t>, std::optional<int64_t>) {
  throw Error("this decoder takes one step at a time");
}

Compute SequenceModel::effective_compute(int64_t /*batch_size*/) const {
  return {.backend = Backend::kPlain, .precision = Precision::kFp32, .graph = GraphMode::kOff};
}

std::unique_ptr<Decoder> SequenceModel::make_decoder(int64_t batch_size) {
  return std::make_unique<ForwardDecoder>(*this, batch_size);
}

void load_weights(SequenceModel& model, const NamedTensors& source) {
  const auto weights = model.weights();
  for (const auto& [name, tensor] : weights) {
    const auto& values = tensor_named(source, name);
    if (values.sizes() != tensor.sizes()) {
      throw Error(formatted("{} must have shape [{}], got [{}]", name, joined(tensor.sizes(), ", "),
                            joined(values.sizes(), ", ")));
    }
  }
  for (const auto& [name, tensor] : source) {
    tensor_named(weights, name);
  }
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : weights) {
    tensor.copy_(tensor_named(source, name));
  }
}

}  // namespace unroll

#include "study/differences.h"

#include <cmath>

#include "unroll/compute.h"

namespace unroll {
namespace {

torch::Tensor to_compare(const torch::Tensor& tensor) {
  return tensor.detach().to(torch::kCPU, torch::kFloat64, /*non_blocking=*/false, /*copy=*/true);
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.reshape_as(b) - b).abs().max().item<double>();
}

// The larger one; not-a-number is larger than all, so that it is not hidden.
double larger(double a, double b) { return std::isnan(b) || b > a ? b : a; }

NamedTensors gradients_of(const ModelConfig& config, const NamedTensors& weights) {
  if (config.layers == 1) {
    return scratch_gradients(config, weights);
  }
  NamedTensors gradients;
  for (const auto& [name, tensor] : weights) {
    gradients.push_back({name, tensor.grad()});
  }
  return gradients;
}

}  // namespace

double Differences::gradient() const {
  double largest = 0;
  for (const auto& [name, difference] : gradients) {
    largest = larger(largest, difference);
  }
  return largest;
}

Outcome outcome_of(SequenceModel& net, const ModelConfig& config, const Batch& batch) {
  const auto begin = net.begin_state(batch.X.size(0));
  Outcome outcome;
  {
    const torch::NoGradGuard no_grad;
    const auto [logits, state] = net.forward(batch.X, begin);
    outcome.logits = to_compare(logits);
    for (const auto& part : state) {
      outcome.state.push_back(to_compare(part));
    }
  }
  net.loss(batch, begin).first.backward();
  for (const auto& [name, gradient] : gradients_of(config, net.weights())) {
    outcome.gradients.push_back({name, to_compare(gradient)});
  }
  for (auto& weight : values(net.weights())) {
    weight.mutable_grad().reset();
  }
  return outcome;
}

Differences differences_of(const Outcome& a, const Outcome& b) {
  Differences result;
  result.logits = largest_difference(a.logits, b.logits);
  for (std::size_t i = 0; i < a.state.size(); ++i) {
    result.states = larger(result.states, largest_difference(a.state[i], b.state[i]));
  }
  for (const auto& [name, gradient] : a.gradients) {
    result.gradients.emplace_back(name,
                                  largest_difference(gradient, tensor_named(b.gradients, name)));
  }
  return result;
}

void copy_weights(SequenceModel& net, const ModelConfig& config, const NamedTensors& source,
                  const ModelConfig& source_config) {
  const auto kind = resolved(config).model;
  if (kind == resolved(source_config).model) {
    load_weights(net, source);
    return;
  }
  const auto scratch = scratch_weights(source_config, source);
  load_weights(net, kind == ModelKind::kConcise ? concise_weights(config.cell, scratch) : scratch);
}

}  // namespace unroll

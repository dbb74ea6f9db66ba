#include <cmath>
#include <memory>
#include <tuple>

#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll {
namespace {

ModelConfig config_of(ModelKind model, const CompareOptions& options) {
  ModelConfig config;
  config.model = model;
  config.cell = options.cell;
  config.hidden = options.hidden;
  if (options.cell == Cell::kGru) {
    config.gru_reset = GruReset::kAfter;
  }
  return config;
}

// The fused model's weights are laid out as the scratch model's.
NamedTensors weights_for(const ModelConfig& config, const NamedTensors& scratch) {
  return config.model == ModelKind::kConcise ? concise_weights(config.cell, scratch) : scratch;
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.reshape_as(b) - b).abs().max().item<double>();
}

// The larger one; not-a-number is larger than all, so that it is not hidden.
double larger(double a, double b) { return std::isnan(b) || b > a ? b : a; }

// Logits, state and gradients of one batch.
struct Outcome {
  torch::Tensor logits;
  State state;
  NamedTensors gradients;
};

Outcome run(SequenceModel& net, const ModelConfig& config, const Batch& batch) {
  const auto begin = net.begin_state(batch.X.size(0));
  Outcome outcome;
  {
    const torch::NoGradGuard no_grad;
    std::tie(outcome.logits, outcome.state) = net.forward(batch.X, begin);
  }
  net.loss(batch, begin).first.backward();
  for (auto& [name, gradient] : scratch_gradients(config, net.weights())) {
    outcome.gradients.push_back({name, gradient.clone()});
  }
  for (auto& weight : values(net.weights())) {
    weight.mutable_grad().reset();
  }
  return outcome;
}

Differences differences(const Outcome& a, const Outcome& b) {
  Differences result;
  result.logits = largest_difference(a.logits, b.logits);
  for (std::size_t i = 0; i < a.state.size(); ++i) {
    result.states = larger(result.states, largest_difference(a.state[i], b.state[i]));
  }
  for (const auto& [name, gradient] : a.gradients) {
    result.gradients =
        larger(result.gradients, largest_difference(gradient, tensor_named(b.gradients, name)));
  }
  return result;
}

}  // namespace

void check(const CompareOptions& options) {
  if (options.cell == Cell::kMlp) {
    throw UsageError("torch::nn has no mlp cell to compare with; choose rnn, gru or lstm");
  }
  for (const auto model : kComparedModels) {
    check(config_of(model, options));
  }
  check(options.train);
}

Comparison compare(const SeqDataLoader& train_iter, const Vocab& vocab,
                   const CompareOptions& options,
                   const std::function<TrainCallbacks(const ModelConfig&)>& callbacks) {
  check(options);
  const auto scratch_config = config_of(ModelKind::kScratch, options);
  const auto scratch = make_model(scratch_config, vocab.size(), train_iter.device());
  const auto first = train_iter.epoch(0)[0];
  const auto expected = run(*scratch, scratch_config, first);

  Comparison comparison;
  for (const auto model : kComparedModels) {
    const auto config = config_of(model, options);
    const auto net = make_model(config, vocab.size(), train_iter.device());
    load_weights(*net, weights_for(config, scratch->weights()));
    const auto apart = differences(expected, run(*net, config, first));
    comparison.models.push_back({config, apart,
                                 train_ch8(*net, train_iter, vocab, options.train,
                                           callbacks ? callbacks(config) : TrainCallbacks{})});
  }
  return comparison;
}

}  // namespace unroll

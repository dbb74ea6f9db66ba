#include "unroll/compare.h"

#include <cmath>
#include <memory>
#include <tuple>
#include <utility>

#include "unroll/error.h"
#include "unroll/scratch_weights.h"

namespace unroll {
namespace {

ModelConfig scratch_of(const CompareOptions& options) {
  ModelConfig config;
  config.model = ModelKind::kScratch;
  config.cell = options.cell;
  config.hidden = options.hidden;
  if (options.cell == Cell::kGru) {
    config.gru_reset = GruReset::kAfter;
  }
  return config;
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
        larger(result.gradients, largest_difference(gradient, at(b.gradients, name)));
  }
  return result;
}

}  // namespace

void check(const CompareOptions& options) {
  if (options.cell == Cell::kMlp) {
    throw UsageError("torch::nn has no mlp cell to compare with; choose rnn, gru or lstm");
  }
  check(scratch_of(options));
  check(options.train);
}

Comparison compare(const SeqDataLoader& train_iter, const Vocab& vocab,
                   const CompareOptions& options,
                   const std::function<TrainCallbacks(const ModelConfig&)>& callbacks) {
  check(options);
  const auto scratch_config = scratch_of(options);
  auto concise_config = scratch_config;
  concise_config.model = ModelKind::kConcise;

  const auto scratch = make_model(scratch_config, vocab.size(), train_iter.device());
  const auto concise = make_model(concise_config, vocab.size(), train_iter.device());
  load_weights(*concise, concise_weights(options.cell, scratch->weights()));

  Comparison comparison;
  const auto first = train_iter.epoch(0)[0];
  comparison.differences =
      differences(run(*scratch, scratch_config, first), run(*concise, concise_config, first));
  for (const auto& [config, net] :
       {std::pair{scratch_config, scratch.get()}, std::pair{concise_config, concise.get()}}) {
    comparison.models.push_back(
        {config, train_ch8(*net, train_iter, vocab, options.train,
                           callbacks ? callbacks(config) : TrainCallbacks{})});
  }
  return comparison;
}

}  // namespace unroll

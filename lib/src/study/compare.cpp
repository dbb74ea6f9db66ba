#include <cmath>
#include <tuple>

#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/model.h"
#include "unroll/study.h"

namespace unroll {
namespace {

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

std::string ModelSetup::name() const {
  return std::string(compute.backend == Backend::kPlain ? to_string(resolved(config).model.value())
                                                        : to_string(Backend::kFused));
}

std::vector<ModelSetup> compared_models(const CompareOptions& options) {
  const auto setup = [&](ModelKind model, Backend backend) {
    ModelSetup result{.config = {.model = model, .cell = options.cell, .hidden = options.hidden},
                      .compute = {.backend = backend, .graph = options.graph}};
    if (options.cell == Cell::kGru) {
      result.config.gru_reset = GruReset::kAfter;
    }
    return result;
  };
  return {setup(ModelKind::kScratch, Backend::kPlain), setup(ModelKind::kConcise, Backend::kPlain),
          setup(ModelKind::kScratch, Backend::kFused)};
}

void check(const CompareOptions& options) {
  if (options.cell == Cell::kMlp) {
    throw UsageError("torch::nn has no mlp cell to compare with; choose another cell");
  }
  for (const auto& [config, compute] : compared_models(options)) {
    check(config, compute);
  }
  check(options.train);
}

Comparison compare(const SeqDataLoader& train_iter, const Vocab& vocab,
                   const CompareOptions& options,
                   const std::function<TrainCallbacks(const ModelSetup&)>& callbacks) {
  check(options);
  const auto setups = compared_models(options);
  const auto make = [&](const ModelSetup& setup) {
    return make_model(setup.config, vocab.size(), train_iter.device(), setup.compute);
  };
  const auto scratch = make(setups.front());
  const auto first = train_iter.epoch(0)[0];
  const auto expected = run(*scratch, setups.front().config, first);

  Comparison comparison;
  for (const auto& setup : setups) {
    const auto net = make(setup);
    load_weights(*net, setup.config.model == ModelKind::kConcise
                           ? concise_weights(options.cell, scratch->weights())
                           : scratch->weights());
    const auto apart = differences(expected, run(*net, setup.config, first));
    comparison.models.push_back({setup, net->effective_compute(train_iter.options().batch_size),
                                 apart,
                                 train_ch8(*net, train_iter, vocab, options.train,
                                           callbacks ? callbacks(setup) : TrainCallbacks{})});
  }
  return comparison;
}

}  // namespace unroll

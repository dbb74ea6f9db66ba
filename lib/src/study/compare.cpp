#include <ATen/Context.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/fields.h"
#include "base/formatted.h"
#include "study/differences.h"
#include "study/peak_memory.h"
#include "study/spread.h"
#include "study/threads.h"
#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/model.h"
#include "unroll/study.h"

namespace unroll {
namespace {

// What makes a model another function than the first one's; empty if nothing does.
std::string other_function(const Configuration& first, const Configuration& other) {
  const auto a = resolved(first.setup.config);
  const auto b = resolved(other.setup.config);
  std::vector<std::string> reasons;
  const auto require_same = [&](std::string_view what, const auto& expected, const auto& got) {
    if (expected != got) {
      reasons.push_back(formatted("{} {}, not {}", what, to_text(got), to_text(expected)));
    }
  };
  if (first.vocab->tokens() != other.vocab->tokens()) {
    reasons.emplace_back("other tokens");
  }
  require_same("cell", a.cell, b.cell);
  if (a.gru_reset && b.gru_reset) {
    require_same("reset", *a.gru_reset, *b.gru_reset);
  }
  require_same("hidden", a.hidden, b.hidden);
  require_same("layers", a.layers, b.layers);
  require_same("dropout", a.dropout, b.dropout);
  return joined(reasons, ", ");
}

std::unique_ptr<SequenceModel> make_net(const Configuration& configuration) {
  return make_model(configuration.setup.config, configuration.vocab->size(), configuration.device,
                    configuration.setup.compute);
}

// A configuration's data with one of the seeds.
SeqDataLoader make_loader(const Configuration& configuration, int64_t nth_seed) {
  auto data = configuration.data;
  data.seed += static_cast<uint64_t>(nth_seed);
  return {configuration.tokens, data, configuration.device};
}

// Trains configurations with one seed after another.
class Contest {
 public:
  Contest(const std::vector<Configuration>& configurations, const CompareCallbacks& callbacks)
      : callbacks_(callbacks), first_(configurations.front()) {
    const auto loader = make_loader(first_, 0);
    batch_ = loader.epoch(0)[0];
    for (const auto& configuration : configurations) {
      const Threads limit(configuration.threads);
      ComparedModel model{.configuration = configuration};
      model.apart = other_function(first_, configuration);
      const auto net = start(configuration, 0);
      for (const auto& weight : values(net->weights())) {
        model.parameters += weight.numel();
      }
      model.effective = net->effective_compute(configuration.data.batch_size);
      if (is_comparable(model)) {
        model.at_first = differences_from(outcome_at_first_, *net, configuration);
      }
      comparison_.models.push_back(std::move(model));
    }
  }

  void train_all(int64_t nth_seed) {
    for (auto& model : comparison_.models) {
      train(model, nth_seed);
    }
  }

  Comparison take() { return std::move(comparison_); }

 private:
  // Whether both start from the same weights and compute the same of them.
  bool is_comparable(const ComparedModel& model) const {
    return model.apart.empty() && model.configuration.data.seed == first_.data.seed;
  }

  // A model with the weights that it starts with.
  std::unique_ptr<SequenceModel> start(const Configuration& configuration, int64_t nth_seed) const {
    const auto seed = configuration.data.seed + static_cast<uint64_t>(nth_seed);
    NamedTensors source;
    if (configuration.data.seed == first_.data.seed &&
        other_function(first_, configuration).empty()) {
      at::manual_seed(seed);
      source = make_net(first_)->weights();
    }
    at::manual_seed(seed);
    auto net = make_net(configuration);
    if (!source.empty()) {
      copy_weights(*net, configuration.setup.config, source, first_.setup.config);
    }
    return net;
  }

  // From the first model's outcome, which is kept in `expected`.
  Differences differences_from(Outcome& expected, SequenceModel& net,
                               const Configuration& configuration) {
    at::manual_seed(first_.data.seed);  // of dropout
    auto outcome = outcome_of(net, configuration.setup.config, batch_on(configuration.device));
    if (!expected.logits.defined()) {
      expected = outcome;
    }
    return differences_of(outcome, expected);
  }

  Batch batch_on(torch::Device device) const { return {batch_.X.to(device), batch_.Y.to(device)}; }

  void train(ComparedModel& model, int64_t nth_seed) {
    const auto& configuration = model.configuration;
    const Threads limit(configuration.threads);
    const auto train_iter = make_loader(configuration, nth_seed);
    const PeakMemory memory(configuration.device);
    const auto net = start(configuration, nth_seed);
    Training training(*net, train_iter, *configuration.vocab, configuration.train,
                      configuration.valid);
    auto& studied = model.trainings.emplace_back();
    try {
      studied.result =
          training.run(callbacks_ ? callbacks_(configuration, nth_seed) : TrainCallbacks{});
    } catch (const Diverged& error) {
      studied = {.result = {.epochs = training.history()}, .diverged = error.what()};
    }
    if (nth_seed > 0) {
      return;
    }
    model.peak_bytes = memory.added();
    if (is_comparable(model) && studied.diverged.empty()) {
      model.trained = differences_from(outcome_trained_, *net, configuration);
    }
  }

  const CompareCallbacks& callbacks_;
  const Configuration& first_;
  Batch batch_;
  Outcome outcome_at_first_;
  Outcome outcome_trained_;
  Comparison comparison_;
};

}  // namespace

std::string ModelSetup::name() const {
  return std::string(compute.backend == Backend::kPlain ? to_string(resolved(config).model.value())
                                                        : to_string(compute.backend));
}

std::vector<Configuration> implementations_of(const Configuration& base) {
  const auto& asked = base.setup.config;
  std::vector<Configuration> all;
  const auto add = [&](ModelKind model, Backend backend) {
    auto one = base;
    one.setup.config.model = model;
    one.setup.compute.backend = backend;
    if (backend == Backend::kPlain) {
      one.setup.compute.precision = Precision::kFp32;  // the others are of the kernels
    }
    if (asked.cell == Cell::kGru && !asked.gru_reset) {
      one.setup.config.gru_reset = GruReset::kAfter;
    }
    one.name = one.setup.name();
    all.push_back(std::move(one));
  };
  const bool has_concise = asked.cell != Cell::kMlp && asked.gru_reset != GruReset::kBefore;
  const bool has_scratch = asked.layers == 1;
  if (has_scratch) {
    add(ModelKind::kScratch, Backend::kPlain);
  }
  if (has_concise) {
    add(ModelKind::kConcise, Backend::kPlain);
  }
  if (asked.cell != Cell::kMlp) {
    add(has_scratch ? ModelKind::kScratch : ModelKind::kConcise, Backend::kFused);
  }
  if (all.size() < 2) {
    throw UsageError(
        formatted("there is one implementation of the cell {} alone; compare it with another",
                  to_string(asked.cell)));
  }
  return all;
}

void check(const std::vector<Configuration>& configurations, const CompareOptions& options) {
  check_ranges(options);
  if (configurations.size() < 2) {
    throw UsageError(
        formatted("to compare takes two configurations, got {}", configurations.size()));
  }
  std::set<std::string> names;
  for (const auto& configuration : configurations) {
    if (!names.insert(configuration.name).second) {
      throw UsageError(formatted("two configurations are called '{}'", configuration.name));
    }
    check(configuration.setup.config, configuration.setup.compute);
    check(configuration.data);
    check(configuration.train);
    require_in("threads", configuration.threads, from_to(0, 4096));
  }
}

std::string ComparedModel::diverged() const { return problem_of(trainings); }

Spread ComparedModel::perplexity() const { return perplexity_of(trainings); }

std::optional<Spread> ComparedModel::valid_perplexity() const {
  std::vector<double> values;
  values.reserve(trainings.size());
  for (const auto& training : trainings) {
    const auto perplexity = training.result.valid_perplexity();
    if (!perplexity || !training.diverged.empty()) {
      return std::nullopt;
    }
    values.push_back(*perplexity);
  }
  return spread_of(values);
}

double ComparedModel::bits_per_character() const {
  const auto valid = valid_perplexity();
  return std::log2(valid ? valid->mean : perplexity().mean) / configuration.characters_per_token;
}

double ComparedModel::tokens_per_second() const { return speed_of(trainings); }

std::optional<bool> Comparison::is_beyond_spread(const ComparedModel& model) const {
  if (&model == &models.front() || model.trainings.size() < 2 || !model.diverged().empty() ||
      !models.front().diverged().empty()) {
    return std::nullopt;
  }
  auto a = models.front().perplexity();
  auto b = model.perplexity();
  const auto valid = models.front().valid_perplexity();
  if (const auto other = model.valid_perplexity(); valid && other) {
    a = *valid;
    b = *other;
  }
  return std::abs(a.mean - b.mean) > std::hypot(a.deviation, b.deviation);
}

Comparison compare(const std::vector<Configuration>& configurations, const CompareOptions& options,
                   const CompareCallbacks& callbacks) {
  check(configurations, options);
  Contest contest(configurations, callbacks);
  for (int64_t nth = 0; nth < options.seeds; ++nth) {
    contest.train_all(nth);
  }
  return contest.take();
}

}  // namespace unroll

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Corpus kCorpus = make_corpus(sample_text(), {.text = {}, .max_tokens = 1000});

// A training of a moment.
Configuration small(const ModelConfig& config = {.hidden = 16}, const std::string& name = "") {
  Configuration configuration{.name = name, .setup = {.config = config, .compute = {}}};
  configuration.data = {.batch_size = 4, .num_steps = 10};
  configuration.train.epochs = 3;
  configuration.train.predict = 5;
  configuration.train.prompts = {"the"};
  configuration.tokens = kCorpus.indices;
  configuration.vocab = std::make_shared<const Vocab>(kCorpus.vocab);
  return configuration;
}

std::vector<std::string> names_of_all(const std::vector<Configuration>& configurations) {
  std::vector<std::string> names;
  for (const auto& configuration : configurations) {
    names.push_back(configuration.name);
  }
  return names;
}

class CompareOfEachCell : public ::testing::TestWithParam<Cell> {};

TEST_P(CompareOfEachCell, AllImplementationsComputeAndLearnTheSame) {
  const auto configurations = implementations_of(small({.cell = GetParam(), .hidden = 16}));
  std::vector<std::pair<std::string, int64_t>> calls;
  const auto record = [&](const Configuration& configuration, int64_t nth_seed) {
    EXPECT_EQ(nth_seed, 0);
    TrainCallbacks callbacks;
    callbacks.on_epoch = [&calls, name = configuration.name](const EpochStats& stats) {
      calls.emplace_back(name, stats.epoch);
    };
    return callbacks;
  };
  const auto comparison = compare(configurations, {}, record);
  ASSERT_THAT(names_of_all(configurations), ElementsAre("scratch", "concise", "fused"));
  ASSERT_EQ(comparison.models.size(), 3U);
  for (const auto& model : comparison.models) {
    SCOPED_TRACE(model.configuration.name);
    EXPECT_THAT(model.apart, IsEmpty());
    EXPECT_EQ(model.effective.backend, model.configuration.setup.compute.backend);
    EXPECT_EQ(model.configuration.setup.config.gru_reset,
              GetParam() == Cell::kGru ? std::optional(GruReset::kAfter) : std::nullopt);
    ASSERT_TRUE(model.at_first);
    EXPECT_LT(model.at_first->logits, 1e-5);
    EXPECT_LT(model.at_first->states, 1e-5);
    EXPECT_LT(model.at_first->gradient(), 1e-5);
    EXPECT_GE(model.at_first->gradients.size(), 5U);
    ASSERT_EQ(model.trainings.size(), 1U);
    EXPECT_EQ(model.trainings[0].result.epochs.size(), 3U);
    EXPECT_EQ(model.trainings[0].result.predictions.at(0).size(), 8U);
  }
  const auto& scratch = comparison.models[0];
  const auto& concise = comparison.models[1];
  const auto& fused = comparison.models[2];
  EXPECT_EQ(scratch.at_first->logits, 0);
  EXPECT_EQ(scratch.trained->gradient(), 0);
  // torch::nn holds two biases for each of ours, so that its bias learns at twice the rate; before
  // the first update there is no difference, after a few a small one.
  EXPECT_GT(concise.trained->logits, 100 * concise.at_first->logits);
  EXPECT_LT(fused.trained->logits, 1e-3);
  for (std::size_t e = 0; e < 3; ++e) {
    const auto perplexity = [&](const ComparedModel& model) {
      return model.trainings[0].result.epochs[e].perplexity;
    };
    EXPECT_NEAR(perplexity(scratch) / perplexity(concise), 1, 0.05);
    EXPECT_NEAR(perplexity(scratch) / perplexity(fused), 1, 1e-4);
  }
  EXPECT_EQ(calls.size(), 9U);
  EXPECT_EQ(calls.front(), std::pair(std::string("scratch"), int64_t{1}));
  EXPECT_EQ(calls.back(), std::pair(std::string("fused"), int64_t{3}));
}

INSTANTIATE_TEST_SUITE_P(Cells, CompareOfEachCell,
                         ::testing::Values(Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm),
                         [](const auto& info) {
                           std::string name(to_string(info.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Compare, AModelOfAnotherFunctionIsTrainedAsByItself) {
  const auto comparison = compare({small(), small({.cell = Cell::kLstm, .hidden = 8}, "lstm"),
                                   small({.cell = Cell::kMlp, .hidden = 16}, "mlp")});
  const auto& lstm = comparison.models[1];
  EXPECT_EQ(lstm.apart, "cell lstm, not rnn, hidden 8, not 16");
  EXPECT_EQ(comparison.models[2].apart, "cell mlp, not rnn");
  EXPECT_FALSE(lstm.at_first);
  EXPECT_FALSE(lstm.trained);
  EXPECT_EQ(lstm.parameters,
            parameter_count({.cell = Cell::kLstm, .hidden = 8}, kCorpus.vocab.size()));

  at::manual_seed(0);
  const auto net =
      make_model({.cell = Cell::kLstm, .hidden = 8}, kCorpus.vocab.size(), torch::kCPU);
  const SeqDataLoader train_iter(kCorpus.indices, {.batch_size = 4, .num_steps = 10});
  const auto alone = train_ch8(*net, train_iter, kCorpus.vocab, small().train);
  EXPECT_EQ(lstm.trainings[0].perplexity(), alone.perplexity());
  EXPECT_EQ(lstm.trainings[0].result.predictions, alone.predictions);
}

TEST(Compare, TheTwoGrusAreSaidToBeDifferentFunctions) {
  const auto comparison =
      compare({small({.cell = Cell::kGru, .hidden = 8}),
               small({.cell = Cell::kGru, .hidden = 8, .gru_reset = GruReset::kAfter}, "after")});
  EXPECT_EQ(comparison.models[1].apart, "reset after, not before");
  EXPECT_FALSE(comparison.models[1].at_first);
}

TEST(Compare, LayersAndDropoutAreComparedByTheirOwnWeights) {
  const auto configurations =
      implementations_of(small({.cell = Cell::kLstm, .hidden = 8, .layers = 2, .dropout = 0.5}));
  ASSERT_THAT(names_of_all(configurations), ElementsAre("concise", "fused"));
  const auto comparison = compare(configurations);
  const auto& fused = comparison.models[1];
  EXPECT_LT(fused.at_first->gradient(), 1e-5);
  EXPECT_EQ(fused.at_first->gradients.size(), 10U);
  EXPECT_EQ(fused.at_first->gradients.front().first, "rnn.weight_ih_l0");
  EXPECT_LT(fused.trained->logits, 1e-3);
}

TEST(Compare, OtherBatchesStartFromTheSameWeightsAndOtherSeedsDoNot) {
  auto random = small({.hidden = 16}, "random");
  random.data.sampling = Sampling::kRandom;
  auto seeded = small({.hidden = 16}, "seeded");
  seeded.data.seed = 1;
  const auto comparison = compare({small(), random, seeded});
  EXPECT_EQ(comparison.models[1].at_first->logits, 0);
  EXPECT_GT(comparison.models[1].trained->logits, 0);
  EXPECT_THAT(comparison.models[2].apart, IsEmpty());
  EXPECT_FALSE(comparison.models[2].at_first);
}

TEST(Compare, SeedsGiveTheMeanAndTheSpread) {
  auto same = small({.hidden = 16}, "same");
  auto slow = small({.hidden = 16}, "slow");
  slow.train.updater.lr = 0.001;
  std::map<std::string, std::vector<int64_t>> seeds;
  const auto comparison = compare({small(), same, slow}, {.seeds = 3},
                                  [&](const Configuration& configuration, int64_t nth) {
                                    seeds[configuration.name].push_back(nth);
                                    return TrainCallbacks{};
                                  });
  EXPECT_THAT(seeds["slow"], ElementsAre(0, 1, 2));
  const auto& first = comparison.models[0];
  ASSERT_EQ(first.trainings.size(), 3U);
  std::vector<double> values;
  for (const auto& training : first.trainings) {
    values.push_back(training.perplexity());
  }
  const double mean = (values[0] + values[1] + values[2]) / 3;
  double squares = 0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  EXPECT_NEAR(first.perplexity().mean, mean, 1e-12);
  EXPECT_NEAR(first.perplexity().deviation, std::sqrt(squares / 2), 1e-12);
  EXPECT_GT(first.perplexity().deviation, 0);
  EXPECT_EQ(comparison.is_beyond_spread(first), std::nullopt);
  EXPECT_EQ(comparison.is_beyond_spread(comparison.models[1]), std::optional(false));
  EXPECT_EQ(comparison.is_beyond_spread(comparison.models[2]), std::optional(true));
  // The second seed's training is that of a configuration with this seed.
  auto second = small({.hidden = 16}, "second");
  second.data.seed = 1;
  EXPECT_EQ(compare({small(), second}).models[1].trainings[0].perplexity(), values[1]);
}

TEST(Compare, SpreadIsThatOfTheValidationWhereThereIsOne) {
  auto a = small();
  auto b = small({.cell = Cell::kMlp, .hidden = 16}, "mlp");
  a.valid = b.valid = kCorpus.indices.slice(0, 0, 300);
  const auto comparison = compare({a, b}, {.seeds = 2});
  const auto valid = comparison.models[0].valid_perplexity();
  ASSERT_TRUE(valid);
  EXPECT_NE(valid->mean, comparison.models[0].perplexity().mean);
  EXPECT_NEAR(comparison.models[0].bits_per_character(), std::log2(valid->mean), 1e-12);
}

TEST(Compare, WhatDivergesEndsByItself) {
  auto wild = small({.cell = Cell::kRnnRelu, .hidden = 16}, "wild");
  wild.train.updater.lr = 1e30;
  wild.train.step.clip = 0;
  const auto comparison = compare({small(), wild, small({.hidden = 8}, "last")});
  EXPECT_THAT(comparison.models[1].diverged(), HasSubstr("diverged in epoch 1"));
  EXPECT_TRUE(std::isnan(comparison.models[1].perplexity().mean));
  EXPECT_THAT(comparison.models[2].diverged(), IsEmpty());
  EXPECT_EQ(comparison.models[2].trainings[0].result.epochs.size(), 3U);
}

TEST(Compare, ImplementationsAreThoseThatExist) {
  EXPECT_THAT(
      names_of_all(implementations_of(small({.cell = Cell::kGru, .gru_reset = GruReset::kBefore}))),
      ElementsAre("scratch", "fused"));
  EXPECT_THAT(thrown<UsageError>([] { implementations_of(small({.cell = Cell::kMlp})); }),
              HasSubstr("mlp"));
  auto precise = small();
  precise.setup.compute.precision = Precision::kBf16;
  const auto all = implementations_of(precise);
  EXPECT_EQ(all[0].setup.compute.precision, Precision::kFp32);
  EXPECT_EQ(all[2].setup.compute.precision, Precision::kBf16);
}

TEST(Compare, RefusesWhatCannotBeCompared) {
  thrown<UsageError>([] { compare({small()}); });
  EXPECT_THAT(thrown<UsageError>([] { compare({small(), small()}); }), HasSubstr("called ''"));
  thrown<UsageError>([] { compare({small(), small({.hidden = 0}, "b")}); });
  thrown<UsageError>([] { compare({small(), small({}, "b")}, {.seeds = 0}); });
  auto bad = small({}, "b");
  bad.train.updater.lr = -1;
  thrown<UsageError>([&] { compare({small(), bad}); });
  auto captured = small({}, "b");
  captured.setup.compute.graph = GraphMode::kOn;
  EXPECT_THAT(thrown<Error>([&] {
                compare({small(), captured});
              }),
              HasSubstr("graph on needs a CUDA device"));
}

}  // namespace
}  // namespace unroll

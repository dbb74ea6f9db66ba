#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
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

CompareOptions small(Cell cell) {
  CompareOptions options;
  options.cell = cell;
  options.hidden = 16;
  options.train.epochs = 3;
  options.train.predict = 5;
  options.train.prompts = {"the"};
  return options;
}

const Corpus kCorpus = make_corpus(sample_text(), {.text = {}, .max_tokens = 1000});
const SeqDataLoader kTrainIter(kCorpus.indices, {.batch_size = 4, .num_steps = 10, .offset = {}});

class CompareOfEachCell : public ::testing::TestWithParam<Cell> {};

TEST_P(CompareOfEachCell, AllModelsComputeAndLearnTheSame) {
  at::manual_seed(0);
  std::vector<std::pair<std::string, int64_t>> calls;
  const auto record = [&](const ModelSetup& setup) {
    TrainCallbacks callbacks;
    callbacks.on_epoch = [&calls, name = setup.name()](const EpochStats& stats) {
      calls.emplace_back(name, stats.epoch);
    };
    return callbacks;
  };
  const auto options = small(GetParam());
  const auto comparison = compare(kTrainIter, kCorpus.vocab, options, record);
  const auto setups = compared_models(options);
  const std::vector<std::string> names{"scratch", "concise", "fused"};
  ASSERT_EQ(setups.size(), names.size());
  ASSERT_EQ(comparison.models.size(), names.size());
  for (std::size_t m = 0; m < names.size(); ++m) {
    const auto& [setup, effective, differences, training] = comparison.models[m];
    SCOPED_TRACE(names[m]);
    EXPECT_EQ(setup, setups[m]);
    EXPECT_EQ(setup.name(), names[m]);
    EXPECT_EQ(effective.backend, setup.compute.backend);
    EXPECT_EQ(setup.config.cell, GetParam());
    EXPECT_EQ(setup.config.hidden, 16);
    EXPECT_EQ(setup.config.gru_reset,
              GetParam() == Cell::kGru ? std::optional(GruReset::kAfter) : std::nullopt);
    EXPECT_LT(differences.logits, 1e-5);
    EXPECT_LT(differences.states, 1e-5);
    EXPECT_LT(differences.gradients, 1e-5);
    ASSERT_EQ(training.epochs.size(), 3U);
    EXPECT_EQ(training.predictions.at(0).size(), 8U);
  }
  const auto& scratch = comparison.models[0];
  const auto& concise = comparison.models[1];
  const auto& fused = comparison.models[2];
  // torch::nn holds two biases for each of ours, so that its bias learns at twice the rate; before
  // the first update there is no difference, after a few a small one.
  for (std::size_t e = 0; e < 3; ++e) {
    EXPECT_NEAR(scratch.training.epochs[e].perplexity / concise.training.epochs[e].perplexity, 1,
                0.05);
    EXPECT_NEAR(scratch.training.epochs[e].perplexity / fused.training.epochs[e].perplexity, 1,
                1e-4);
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

TEST(Compare, StepsAreCapturedAsAsked) {
  auto options = small(Cell::kRnn);
  options.graph = GraphMode::kOff;
  for (const auto& setup : compared_models(options)) {
    EXPECT_EQ(setup.compute.graph, GraphMode::kOff);
  }
  options.graph = GraphMode::kOn;
  EXPECT_THAT(thrown<Error>([&] { compare(kTrainIter, kCorpus.vocab, options); }),
              ::testing::HasSubstr("graph on needs a CUDA device"));
}

TEST(Compare, RefusesWhatCannotBeCompared) {
  thrown<UsageError>([] { compare(kTrainIter, kCorpus.vocab, small(Cell::kMlp)); });
  auto options = small(Cell::kRnn);
  options.hidden = 0;
  thrown<UsageError>([&] { compare(kTrainIter, kCorpus.vocab, options); });
  options = small(Cell::kRnn);
  options.train.updater.lr = -1;
  thrown<UsageError>([&] { compare(kTrainIter, kCorpus.vocab, options); });
}

}  // namespace
}  // namespace unroll

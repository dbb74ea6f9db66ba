#include <gtest/gtest.h>

#include "support/model_configs.h"
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
  std::vector<std::pair<ModelKind, int64_t>> calls;
  const auto record = [&](const ModelConfig& model) {
    TrainCallbacks callbacks;
    callbacks.on_epoch = [&calls, kind = model.model](const EpochStats& stats) {
      calls.emplace_back(kind, stats.epoch);
    };
    return callbacks;
  };
  const auto comparison = compare(kTrainIter, kCorpus.vocab, small(GetParam()), record);
  ASSERT_EQ(comparison.models.size(), kComparedModels.size());
  for (std::size_t m = 0; m < kComparedModels.size(); ++m) {
    const auto& [config, differences, training] = comparison.models[m];
    SCOPED_TRACE(to_string(config.model));
    EXPECT_EQ(config.model, kComparedModels.at(m));
    EXPECT_EQ(gru_reset(config), GetParam() == Cell::kGru ? GruReset::kAfter : GruReset::kBefore);
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
  EXPECT_EQ(calls.front(), std::pair(ModelKind::kScratch, int64_t{1}));
  EXPECT_EQ(calls.back(), std::pair(ModelKind::kFused, int64_t{3}));
}

INSTANTIATE_TEST_SUITE_P(Cells, CompareOfEachCell,
                         ::testing::Values(Cell::kRnn, Cell::kGru, Cell::kLstm),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST(Compare, RefusesWhatCannotBeCompared) {
  thrown<UsageError>([] { compare(kTrainIter, kCorpus.vocab, small(Cell::kMlp)); });
  auto options = small(Cell::kRnn);
  options.hidden = 0;
  thrown<UsageError>([&] { compare(kTrainIter, kCorpus.vocab, options); });
  options = small(Cell::kRnn);
  options.train.lr = -1;
  thrown<UsageError>([&] { compare(kTrainIter, kCorpus.vocab, options); });
}

}  // namespace
}  // namespace unroll

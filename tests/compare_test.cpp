#include "unroll/compare.h"

#include <gtest/gtest.h>

#include "model_configs.h"
#include "thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/sample.h"

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

TEST_P(CompareOfEachCell, BothModelsComputeAndLearnTheSame) {
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
  EXPECT_LT(comparison.differences.logits, 1e-5);
  EXPECT_LT(comparison.differences.states, 1e-5);
  EXPECT_LT(comparison.differences.gradients, 1e-5);
  ASSERT_EQ(comparison.models.size(), 2U);
  const auto& scratch = comparison.models[0];
  const auto& concise = comparison.models[1];
  EXPECT_EQ(scratch.config.model, ModelKind::kScratch);
  EXPECT_EQ(concise.config.model, ModelKind::kConcise);
  ASSERT_EQ(scratch.training.epochs.size(), 3U);
  ASSERT_EQ(concise.training.epochs.size(), 3U);
  // torch::nn holds two biases for each of ours, so that its bias learns at twice the rate; before
  // the first update there is no difference, after a few a small one.
  for (std::size_t e = 0; e < 3; ++e) {
    EXPECT_NEAR(scratch.training.epochs[e].perplexity / concise.training.epochs[e].perplexity, 1,
                0.05);
  }
  EXPECT_EQ(calls.size(), 6U);
  EXPECT_EQ(calls.front(), std::pair(ModelKind::kScratch, int64_t{1}));
  EXPECT_EQ(calls.back(), std::pair(ModelKind::kConcise, int64_t{3}));
  EXPECT_EQ(scratch.training.predictions.at(0).size(), 8U);
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

#include "unroll/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/formatted.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/periodic_corpus.h"
#include "support/thrown.h"
#include "train/progress.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/evaluate.h"
#include "unroll/generate.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class TrainCh8OfEachModel : public ::testing::TestWithParam<TestModel> {};

TEST_P(TrainCh8OfEachModel, SameSeedSameNumbers) {
  const auto corpus = periodic_corpus(30);
  const SeqDataLoader train_iter{corpus.indices, {.batch_size = 2, .num_steps = 7}};
  const auto perplexities = [&] {
    at::manual_seed(3);
    const auto fresh = make_model(GetParam(), corpus.vocab.size(), torch::kCPU);
    std::vector<double> result;
    for (const auto& stats : train_ch8(*fresh, train_iter, corpus.vocab, {.epochs = 3}).epochs) {
      result.push_back(stats.perplexity);
    }
    return result;
  };
  EXPECT_EQ(perplexities(), perplexities());
}

INSTANTIATE_TEST_SUITE_P(Models, TrainCh8OfEachModel, ::testing::ValuesIn(all_models(6)),
                         [](const auto& info) { return name_of(info.param); });

class TrainCh8 : public ::testing::Test {
 protected:
  TrainResult train(const TrainOptions& options, const TrainCallbacks& callbacks = {}) {
    return train_ch8(*net, train_iter, corpus.vocab, options, callbacks);
  }

  const Corpus corpus = periodic_corpus(20);
  const SeqDataLoader train_iter{corpus.indices, {.batch_size = 2, .num_steps = 10, .offset = 0}};
  const std::unique_ptr<SequenceModel> net =
      make_model(plain(ModelKind::kScratch, Cell::kRnn, 4), corpus.vocab.size(), torch::kCPU);
};

TEST_F(TrainCh8, CallsBackAfterBatchesEpochsAndPredictionsInThisOrder) {
  std::string calls;
  TrainCallbacks callbacks;
  callbacks.on_batch = [&](const TrainProgress& progress, int64_t batches) {
    EXPECT_EQ(batches, 5);
    calls += formatted("{}", progress.batch);
  };
  callbacks.on_epoch = [&](const EpochStats& stats) { calls += formatted(" e{} ", stats.epoch); };
  callbacks.on_prediction = [&](const EpochStats& stats, const std::string& text) {
    calls += formatted("p{} ", stats.epoch);
    EXPECT_EQ(text.size(), 3U + 4U);
    EXPECT_TRUE(text.starts_with("aab"));
  };
  const auto result =
      train({.epochs = 5, .every = 2, .predict = 4, .prompts = {"aab", "b"}}, callbacks);
  EXPECT_EQ(calls, "12345 e1 12345 e2 p2 12345 e3 12345 e4 p4 12345 e5 ");
  ASSERT_EQ(result.predictions.size(), 2U);
  EXPECT_EQ(result.predictions[1], predict_ch8("b", 4, *net, corpus.vocab));
}

TEST_F(TrainCh8, NeverPredictsInBetweenWhenEveryIsZero) {
  TrainCallbacks callbacks;
  callbacks.on_prediction = [](const EpochStats&, const std::string&) { ADD_FAILURE(); };
  train({.epochs = 3, .every = 0}, callbacks);
}

TEST_F(TrainCh8, WhatACallbackThrowsEndsTheTraining) {
  TrainCallbacks callbacks;
  callbacks.on_epoch = [](const EpochStats& stats) {
    if (stats.epoch == 2) {
      throw std::runtime_error("enough");
    }
  };
  EXPECT_THROW(train({.epochs = 500}, callbacks), std::runtime_error);
}

TEST_F(TrainCh8, ReportsEveryEpoch) {
  const auto result = train({.epochs = 4});
  ASSERT_EQ(result.epochs.size(), 4U);
  for (std::size_t e = 0; e < 4; ++e) {
    EXPECT_EQ(result.epochs[e].epoch, static_cast<int64_t>(e + 1));
    EXPECT_GT(result.epochs[e].perplexity, 1);
    EXPECT_GT(result.epochs[e].tokens_per_second, 0);
    EXPECT_GT(result.epochs[e].grad_norm, 0);
  }
  EXPECT_EQ(result.perplexity(), result.epochs.back().perplexity);
}

TEST_F(TrainCh8, DivergenceIsAnErrorThatNamesTheEpoch) {
  EXPECT_THAT(
      thrown<Diverged>([&] { train({.epochs = 9, .updater = {.lr = 1e30}, .step = {.clip = 0}}); }),
      MatchesRegex("training diverged in epoch 1: loss .*, gradient norm .* on average; at lr "
                   "1e\\+30 and clip 0: try a smaller lr, or clip 1"));
}

TEST_F(TrainCh8, DivergenceNamesTheOptionsThatDecideIt) {
  net->weights().front().tensor.data().fill_(std::nan(""));
  EXPECT_THAT(
      thrown<Diverged>([&] { train({.updater = {.lr = 0.25}, .step = {.clip = 5}}); }),
      MatchesRegex("training diverged in epoch 1, batch 1: .*; at lr 0.25 and clip 5: try a "
                   "smaller lr or clip"));
}

TEST_F(TrainCh8, AnEpochOfWhichEveryStepIsSkippedIsAnError) {
  net->weights().front().tensor.data().fill_(std::nan(""));
  EXPECT_THAT(thrown<Diverged>(
                  [&] { train({.step = {.on_nonfinite = OnNonfinite::kSkip}, .prompts = {}}); }),
              HasSubstr("5 of 5 steps"));
}

TEST_F(TrainCh8, TheEndOfAnEpochIsCalledLast) {
  std::string calls;
  TrainCallbacks callbacks;
  callbacks.on_epoch = [&](const EpochStats&) { calls += "e"; };
  callbacks.on_prediction = [&](const EpochStats&, const std::string&) { calls += "p"; };
  callbacks.on_epoch_end = [&](const EpochStats&) { calls += ". "; };
  train({.epochs = 2, .every = 2}, callbacks);
  EXPECT_EQ(calls, "e. ep. ");
}

class TrainingTest : public TrainCh8 {
 protected:
  TrainResult train_and_validate(const TrainOptions& options) {
    return Training(*net, train_iter, corpus.vocab, options, valid).run();
  }

  // What the text never has: the better it is learned, the less this is expected.
  const torch::Tensor valid = torch::tensor({2, 2, 1, 2, 2, 1, 2, 2, 2, 1}, torch::kUInt8);
};

TEST_F(TrainingTest, ValidatesEveryFewEpochs) {
  const auto result = train_and_validate({.epochs = 4, .valid_every = 2});
  std::vector<int64_t> validated;
  for (const auto& stats : result.epochs) {
    if (stats.valid_perplexity) {
      validated.push_back(stats.epoch);
    }
  }
  EXPECT_THAT(validated, ElementsAre(2, 4));
  EXPECT_EQ(result.valid_perplexity(), result.epochs[3].valid_perplexity);
  EXPECT_EQ(*result.valid_perplexity(), evaluate(*net, valid).perplexity());
}

TEST_F(TrainingTest, ATextIsValidatedOnAsItIsEvaluatedWhateverTheBatch) {
  for (const int64_t B : {1, 4, 10}) {
    const SeqDataLoader batches(corpus.indices, {.batch_size = B, .num_steps = 4});
    for (const int64_t tokens : {2, 3, 10}) {  // fewer than a batch has
      const auto text = valid.narrow(0, 0, tokens);
      Training training(*net, batches, corpus.vocab, {.epochs = 1}, text);
      const auto result = training.run();
      EXPECT_EQ(*result.valid_perplexity(), evaluate(*net, text).perplexity());
    }
  }
}

TEST_F(TrainingTest, AValidationWithUnknownTokensIsAlsoMeasuredWithoutThem) {
  const auto text = torch::tensor({2, 2, 0, 1, 0, 2}, torch::kUInt8);
  Training training(*net, train_iter, corpus.vocab, {.epochs = 2}, text);
  const auto result = training.run();
  ASSERT_NE(result.last_validated(), nullptr);
  EXPECT_EQ(result.last_validated()->valid_known_perplexity,
            evaluate(*net, text).known_perplexity());
  EXPECT_EQ(train_and_validate({.epochs = 1}).epochs[0].valid_known_perplexity, std::nullopt);
}

TEST_F(TrainingTest, IsFinishedWhenEpochsOrPatienceAre) {
  Training training(*net, train_iter, corpus.vocab, {.epochs = 2});
  EXPECT_FALSE(training.is_finished());
  training.run();
  EXPECT_TRUE(training.is_finished());
  Training patient(*net, train_iter, corpus.vocab, {.epochs = 200, .patience = 3}, valid);
  patient.run();
  EXPECT_LT(patient.history().size(), 200U);
  EXPECT_TRUE(patient.is_finished());
}

TEST_F(TrainCh8, PredictionsHaveNoUnknownTokens) {
  for (const auto& weight : net->weights()) {
    if (weight.name == "b_q") {
      weight.tensor.data()[Vocab::unk()] = 20;
    }
  }
  const auto result = train({.epochs = 1, .updater = {.lr = 1e-6}, .prompts = {"a"}});
  EXPECT_EQ(predict_ch8("a", 1, *net, corpus.vocab), "a<unk>");
  EXPECT_EQ(result.predictions.at(0).find('<'), std::string::npos);
}

TEST_F(TrainingTest, StopsWhenPatienceIsAtItsEnd) {
  const auto result = train_and_validate({.epochs = 200, .patience = 3});
  EXPECT_TRUE(result.stopped_early);
  ASSERT_GE(result.epochs.size(), 4U);
  const auto best = static_cast<std::size_t>(result.best.epoch);
  EXPECT_EQ(result.epochs.size(), best + 3);
  for (const auto& stats : result.epochs) {
    EXPECT_GE(*stats.valid_perplexity, result.best.perplexity);
  }
  EXPECT_EQ(*result.epochs[best - 1].valid_perplexity, result.best.perplexity);
}

TEST_F(TrainingTest, AValidationTextThatCannotBeLookedAtIsRefusedAtOnce) {
  EXPECT_THAT(
      thrown<Error>([&] { Training(*net, train_iter, corpus.vocab, {}, valid.narrow(0, 0, 1)); }),
      HasSubstr("at least 2 tokens, got 1"));
}

TEST_F(TrainingTest, PatienceNeedsSomethingToWaitFor) {
  EXPECT_THAT(thrown<UsageError>([&] { train({.patience = 3}); }), HasSubstr("patience 3"));
}

TEST_F(TrainingTest, TheLearningRateFollowsItsSchedule) {
  const auto rates = [&](const TrainOptions& options) {
    std::vector<double> result;
    for (const auto& stats : train(options).epochs) {
      result.push_back(stats.lr);
    }
    return result;
  };
  EXPECT_THAT(rates({.epochs = 3, .updater = {.lr = 0.5}}), ElementsAre(0.5, 0.5, 0.5));
  // Five steps an epoch: the last of the first is 4/15 of the way, one short of the end is 14/15.
  const auto cosine =
      rates({.epochs = 3, .updater = {.lr = 0.5}, .schedule = {.schedule = Schedule::kCosine}});
  const auto at = [](double part) { return 0.25 * (1 + std::cos(std::acos(-1.0) * part)); };
  EXPECT_THAT(cosine, ElementsAre(::testing::DoubleNear(at(4.0 / 15), 1e-12),
                                  ::testing::DoubleNear(at(9.0 / 15), 1e-12),
                                  ::testing::DoubleNear(at(14.0 / 15), 1e-12)));
  const auto warm = rates({.epochs = 3, .updater = {.lr = 0.5}, .schedule = {.warmup = 2}});
  EXPECT_THAT(warm, ElementsAre(0.25, 0.5, 0.5));
}

TEST_F(TrainingTest, AStateThatDoesNotFitIsRefused) {
  Training training(*net, train_iter, corpus.vocab, {.epochs = 2});
  const auto refused = [&](auto change) {
    auto state = training.state();
    change(state);
    thrown<Error>([&] { training.load_state(state); });
  };
  training.run();
  refused([](TrainState& state) { state.progress.epoch = 3; });
  refused([](TrainState& state) { state.progress.epoch = -1; });
  refused([](TrainState& state) { state.progress.batch = 6; });
  refused([](TrainState& state) { state.progress.batch = 1; });  // without its sums
  refused([](TrainState& state) { state.history.pop_back(); });
  refused([](TrainState& state) {
    state.progress.batch = 1;
    state.progress.sums = zero_sums(torch::kCPU);
    state.progress.sums.steps = 2;
  });
  refused([](TrainState& state) { state.updater = {{"W_xh.step", torch::zeros(1)}}; });
  refused([](TrainState& state) { state.cpu_generator = torch::zeros({3}, torch::kUInt8); });
  refused([](TrainState& state) { state.cpu_generator = torch::Tensor(); });
}

TEST_F(TrainCh8, WhatDoesNotFitIsRefusedBeforeTheFirstEpoch) {
  const auto V = corpus.vocab.size();
  int epochs = 0;
  const TrainCallbacks count{.on_epoch = [&](const EpochStats&) { ++epochs; }};
  const auto refused = [&](const Vocab& vocab, const SeqDataLoader& data) {
    auto message = thrown<Error>([&] { train_ch8(*net, data, vocab, {.epochs = 1}, count); });
    EXPECT_EQ(epochs, 0);
    return message;
  };
  EXPECT_EQ(refused(make_corpus("abcde").vocab, train_iter),
            formatted("the vocabulary must have the model's {} entries, got 6", V));
  const auto too_large = corpus.indices.clone();
  too_large[7] = V;
  EXPECT_EQ(refused(corpus.vocab, {too_large, train_iter.options()}),
            formatted("a token of the corpus must be in the model's [0, {}), got {}", V, V));
  const auto negative = corpus.indices.to(torch::kInt32);
  negative[7] = -1;
  EXPECT_EQ(refused(corpus.vocab, {negative, train_iter.options()}),
            formatted("a token of the corpus must be in the model's [0, {}), got -1", V));
  thrown<Error>([&] { Training(*net, train_iter, corpus.vocab, {}, too_large); });
  thrown<Error>([&] { Training(*net, train_iter, corpus.vocab, {}, torch::rand({20})); });
}

TEST_F(TrainCh8, TheModelStaysInTheModeInWhichItWas) {
  const auto dropping =
      make_model({.hidden = 4, .layers = 2, .dropout = 0.5}, corpus.vocab.size(), torch::kCPU);
  for (const bool mode : {false, true}) {
    dropping->train(mode);
    TrainCallbacks callbacks;
    callbacks.on_batch = [&](const TrainProgress&, int64_t) {
      EXPECT_TRUE(dropping->is_training());
    };
    train_ch8(*dropping, train_iter, corpus.vocab, {.epochs = 1, .prompts = {}}, callbacks);
    EXPECT_EQ(dropping->is_training(), mode);
    callbacks.on_batch = [](const TrainProgress&, int64_t) { throw Error("stopped"); };
    EXPECT_THROW(
        train_ch8(*dropping, train_iter, corpus.vocab, {.epochs = 1, .prompts = {}}, callbacks),
        Error);
    EXPECT_EQ(dropping->is_training(), mode);
  }
}

TEST_F(TrainCh8, OptionsOutOfRangeAreWrongUsage) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_THAT(thrown<UsageError>([&] { train({.epochs = 0}); }), HasSubstr("epochs"));
  for (const double lr : {0.0, -1.0, infinity, std::nan("")}) {
    EXPECT_THAT(thrown<UsageError>([&] { train({.updater = {.lr = lr}}); }), HasSubstr("lr"));
  }
  for (const double clip : {-1.0, infinity, std::nan("")}) {
    EXPECT_THAT(thrown<UsageError>([&] { train({.step = {.clip = clip}}); }), HasSubstr("clip"));
  }
  EXPECT_THAT(thrown<UsageError>([&] { train({.every = -1}); }), HasSubstr("every"));
  EXPECT_THAT(thrown<UsageError>([&] { train({.predict = -1}); }), HasSubstr("predict"));
}

TEST(TrainResult, SpeedIsTheMedianOverEpochs) {
  TrainResult result;
  EXPECT_EQ(result.tokens_per_second(), 0);
  for (const double speed : {1.0, 9.0, 3.0}) {
    result.epochs.push_back({.tokens_per_second = speed});
  }
  EXPECT_EQ(result.tokens_per_second(), 3);
  result.epochs.push_back({.tokens_per_second = 5});
  EXPECT_EQ(result.tokens_per_second(), 4);
}

}  // namespace
}  // namespace unroll

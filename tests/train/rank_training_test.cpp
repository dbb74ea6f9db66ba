// Several ranks train as one does: the same batches, gradients, steps and states.
#include "train/rank_training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/model_configs.h"
#include "support/rank_threads.h"
#include "support/thrown.h"
#include "train/device_step.h"
#include "train/sum_by_hosts.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

class RankTrainingOfEach : public RankTraining,
                           public ::testing::WithParamInterface<
                               std::tuple<Sampling, std::pair<std::string, UpdaterOptions>>> {};

TEST_P(RankTrainingOfEach, IsThatOfOneProcess) {
  const auto& [sampling, updater] = GetParam();
  const auto train_iter = batches(sampling);
  const auto train = [&](std::shared_ptr<Ranks> ranks) {
    const auto net = make_net(corpus);
    const auto result = train_ch8(*net, train_iter, corpus.vocab,
                                  {.epochs = 20,
                                   .updater = updater.second,
                                   .step = {.clip = 0.5, .ranks = std::move(ranks)},
                                   .prompts = {}});
    return RankOutcome{result.epochs, values(net->weights())};
  };
  const auto alone = train(nullptr);
  EXPECT_LT(alone.epochs.back().perplexity, 0.9 * alone.epochs.front().perplexity);
  for (const int64_t world : {2, 3}) {
    std::vector<RankOutcome> outcomes(static_cast<std::size_t>(world));
    run_ranks(world, [&](const auto& ranks) { outcomes[ranks->rank()] = train(ranks); });
    for (const auto& outcome : outcomes) {
      expect_same(outcome, alone);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    SamplingsAndOptimisers, RankTrainingOfEach,
    ::testing::Combine(
        ::testing::Values(Sampling::kSequential, Sampling::kRandom, Sampling::kSequentialReset),
        ::testing::Values(std::pair<std::string, UpdaterOptions>{"Sgd", {.lr = 1}},
                          std::pair<std::string, UpdaterOptions>{"Momentum",
                                                                 {.lr = 0.3, .momentum = 0.9}},
                          std::pair<std::string, UpdaterOptions>{
                              "Adam", {.optimizer = Optimizer::kAdam, .lr = 0.01}},
                          std::pair<std::string, UpdaterOptions>{
                              "AdamW", {.optimizer = Optimizer::kAdamW, .lr = 0.01}})),
    [](const auto& info) {
      std::string name(to_string(std::get<0>(info.param)));
      std::replace(name.begin(), name.end(), '-', '_');
      return name + "_" + std::get<1>(info.param).first;
    });

TEST_F(RankTraining, ValidatesAndDecidesAsOneProcess) {
  const auto train_iter = batches(Sampling::kSequential);
  const auto valid = make_corpus(sample_text().substr(2000, 12'000)).indices;
  const auto train = [&](std::shared_ptr<Ranks> ranks) {
    const auto net = make_net(corpus);
    Training training(*net, train_iter, corpus.vocab,
                      {.epochs = 30,
                       .step = {.ranks = std::move(ranks)},
                       .schedule = {.schedule = Schedule::kPlateau, .patience = 1},
                       .patience = 3,
                       .prompts = {}},
                      valid);
    return training.run();
  };
  const auto alone = train(nullptr);
  run_ranks(2, [&](const auto& ranks) {
    const auto together = train(ranks);
    ASSERT_EQ(together.epochs.size(), alone.epochs.size());
    EXPECT_EQ(together.stopped_early, alone.stopped_early);
    EXPECT_EQ(together.best.epoch, alone.best.epoch);
    for (std::size_t i = 0; i < alone.epochs.size(); ++i) {
      EXPECT_NEAR(*together.epochs[i].valid_perplexity, *alone.epochs[i].valid_perplexity,
                  kRounding);
      EXPECT_EQ(together.epochs[i].lr, alone.epochs[i].lr);
    }
  });
}

// With kernels, gradients travel during the backward pass, also those of a rank without labels.
using RankTrainingOfKernels = RankTraining;

TEST_F(RankTrainingOfKernels, CountsEachLabelOnceWhereRowsHaveDifferentNumbersOfThem) {
  // Row i has i labels that count; so rank 0 of 4 has 1, and the last rank most.
  const BatchFn batch = [this](int64_t, int64_t k) {
    auto X = corpus.indices.narrow(0, 32 * k, 32).to(torch::kInt64).view({8, 4});
    auto Y = corpus.indices.narrow(0, 32 * k + 1, 32).to(torch::kInt64).view({8, 4}).clone();
    for (int64_t row = 0; row < 8; ++row) {
      Y[row].narrow(0, 0, 4 - std::min<int64_t>(row, 4)).fill_(-100);
    }
    return Batch{X, Y};
  };
  const SeqDataLoader train_iter(5, batch, Sampling::kSequentialReset);
  const auto expect_that_of_one = [&](const TestModel& model, double tolerance) {
    const auto alone = train(model, train_iter, 4, nullptr);
    for (const int64_t world : {2, 8}) {  // of 8 the first has no label at all
      run_ranks(world, [&](const auto& ranks) {
        expect_same(train(model, train_iter, 4, ranks), alone, tolerance);
      });
    }
  };
  expect_that_of_one(plain(ModelKind::kConcise, Cell::kLstm, 12), kRounding);
  torch::set_default_dtype(torch::scalarTypeToTypeMeta(torch::kFloat32));
  for (const auto& model : fused_recurrent_models(12)) {
    SCOPED_TRACE(name_of(model));
    expect_that_of_one(model, 2e-4);
  }
}

TEST_F(RankTrainingOfKernels, IsThatOfOneProcess) {
  torch::set_default_dtype(torch::scalarTypeToTypeMeta(torch::kFloat32));
  auto model = fused(ModelKind::kConcise, Cell::kGru, 300);  // with several buckets
  model.layers = 2;
  const auto train_iter = batches(Sampling::kSequential);
  const auto alone = train(model, train_iter, 2, nullptr);
  run_ranks(
      3, [&](const auto& ranks) { expect_same(train(model, train_iter, 2, ranks), alone, 2e-4); });
}

TEST_F(RankTraining, SkipsAStepThatIsNotFiniteOnAnyRank) {
  const auto train_iter = batches(Sampling::kSequential);
  const auto train = [&](OnNonfinite on_nonfinite, std::shared_ptr<Ranks> ranks) {
    const auto net = make_net(corpus);
    int64_t step = 0;
    StepOptions options{.on_nonfinite = on_nonfinite,
                        .loss =
                            [&](SequenceModel& model, const Batch& batch, const State& state) {
                              auto result = model.loss(batch, state);
                              const bool is_last = ranks->rank() == ranks->world() - 1;
                              if (step++ == 3 && is_last) {
                                result.first = result.first * std::nan("");
                              }
                              return result;
                            },
                        .ranks = ranks};
    const auto result = train_ch8(*net, train_iter, {.epochs = 2, .step = std::move(options)});
    return RankOutcome{result.epochs, values(net->weights())};
  };
  const auto alone = train(OnNonfinite::kSkip, std::make_shared<Ranks>());
  EXPECT_EQ(alone.epochs.front().skipped, 1);
  run_ranks(2, [&](const auto& ranks) { expect_same(train(OnNonfinite::kSkip, ranks), alone); });
  run_ranks(2, [&](const auto& ranks) {
    EXPECT_THAT(thrown<Diverged>([&] { train(OnNonfinite::kStop, ranks); }),
                HasSubstr("diverged in epoch 1, batch 4"));
  });
}

TEST_F(RankTraining, HearsWhatAnyRankAsksForAfterTheSameBatch) {
  const auto train_iter = batches(Sampling::kRandom);
  std::vector<int64_t> heard(2, 0);
  run_ranks(2, [&](const auto& ranks) {
    const auto net = make_net(corpus);
    TrainCallbacks callbacks;
    callbacks.on_batch = [&](const TrainProgress& at, int64_t) {
      if (ranks->take_asked() == Request::kStop) {
        heard[ranks->rank()] = at.batch;
        throw std::runtime_error("stopped");
      }
      if (ranks->rank() == 1 && at.batch == 3) {
        ranks->ask(Request::kStop);
      }
    };
    EXPECT_THROW(train_ch8(*net, train_iter, {.epochs = 1, .step = {.ranks = ranks}}, callbacks),
                 std::runtime_error);
  });
  EXPECT_EQ(heard, (std::vector<int64_t>{4, 4}));
}

TEST_F(RankTraining, BeginsWithTheFirstOnesWeights) {
  const auto train_iter = batches(Sampling::kSequential);
  std::vector<torch::Tensor> weights(2);
  run_ranks(2, [&](const auto& ranks) {
    const auto net = make_net(corpus);
    if (ranks->rank() == 1) {
      const torch::NoGradGuard no_grad;
      net->weights().front().tensor.add_(1);
    }
    train_ch8(*net, train_iter, {.epochs = 1, .step = {.ranks = ranks}});
    weights[ranks->rank()] = net->weights().front().tensor;
  });
  EXPECT_TRUE(weights[0].equal(weights[1]));
}

TEST_F(RankTraining, RefusesMoreRanksThanRows) {
  const SeqDataLoader train_iter(corpus.indices, {.batch_size = 2, .num_steps = 10});
  run_ranks(3, [&](const auto& ranks) {
    const auto net = make_net(corpus);
    EXPECT_THAT(thrown<Error>([&] { Training(*net, train_iter, {.step = {.ranks = ranks}}); }),
                HasSubstr("world <= 2 rows"));
  });
}

TEST_F(RankTraining, ADevicesStepsAreThoseOfOneProcessToo) {
  const auto train_iter = batches(Sampling::kSequential);
  const auto train = [&](const std::shared_ptr<Ranks>& ranks, auto make_step) {
    const auto net = make_net(corpus);
    const auto updater = make_updater(*net, {.optimizer = Optimizer::kAdam, .lr = 0.01});
    TrainProgress progress;
    const StepOptions options{.clip = 0.5, .ranks = ranks};
    const std::unique_ptr<TrainStep> step = make_step(*net, *updater, progress, options);
    RankOutcome outcome;
    for (int64_t e = 0; e < 3; ++e) {
      const auto epoch = train_iter.epoch(e).shard(ranks->rank(), ranks->world());
      outcome.epochs.push_back(train_epoch_ch8(epoch, *step, progress));
    }
    outcome.weights = values(net->weights());
    return outcome;
  };
  const auto alone = train(std::make_shared<Ranks>(),
                           [](auto&... arguments) { return make_train_step(arguments...); });
  run_ranks(2, [&](const auto& ranks) {
    expect_same(
        train(ranks, [](auto&... arguments) { return std::make_unique<DeviceStep>(arguments...); }),
        alone);
  });
  // As many as have not the same number of rows.
  run_ranks(3, [&](const auto& ranks) {
    expect_same(train(ranks,
                      [&](auto&... arguments) {
                        return std::make_unique<DeviceStep>(arguments...,
                                                            std::make_unique<SumByHosts>(ranks));
                      }),
                alone);
  });
}

}  // namespace
}  // namespace unroll

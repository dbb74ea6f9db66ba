// Several ranks train as one does: the same batches, gradients, steps and states.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/rank_threads.h"
#include "support/thrown.h"
#include "train/device_step.h"
#include "train/gradient_sum.h"
#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/evaluate.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

// Models in float64, where rounding is far from anything that matters.
class InFloat64 {
 public:
  InFloat64() { torch::set_default_dtype(torch::scalarTypeToTypeMeta(torch::kFloat64)); }
  ~InFloat64() { torch::set_default_dtype(torch::scalarTypeToTypeMeta(torch::kFloat32)); }
  InFloat64(const InFloat64&) = delete;
  InFloat64& operator=(const InFloat64&) = delete;
};

constexpr double kRounding = 1e-9;

class RankTraining : public ::testing::Test {
 protected:
  static std::unique_ptr<SequenceModel> make_net(const Corpus& corpus) {
    static std::mutex one_at_a_time;  // ranks are threads here, and draw from one generator
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    at::manual_seed(1);
    return make_model({.model = ModelKind::kConcise, .cell = Cell::kLstm, .hidden = 12},
                      corpus.vocab.size(), torch::kCPU, {.backend = Backend::kPlain});
  }

  SeqDataLoader batches(Sampling sampling) const {
    return {corpus.indices, {.batch_size = 8, .num_steps = 10, .sampling = sampling}};
  }

  const InFloat64 in_float64;
  const Corpus corpus = make_corpus(sample_text(), {.max_tokens = 700});
};

// What a training came to, as rank 0 has it.
struct Outcome {
  std::vector<EpochStats> epochs;
  std::vector<torch::Tensor> weights;
};

void expect_same(const Outcome& actual, const Outcome& expected) {
  ASSERT_EQ(actual.epochs.size(), expected.epochs.size());
  for (std::size_t i = 0; i < expected.epochs.size(); ++i) {
    EXPECT_NEAR(actual.epochs[i].perplexity, expected.epochs[i].perplexity, kRounding) << i;
    EXPECT_NEAR(actual.epochs[i].grad_norm, expected.epochs[i].grad_norm, kRounding) << i;
    EXPECT_EQ(actual.epochs[i].skipped, expected.epochs[i].skipped) << i;
  }
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < expected.weights.size(); ++i) {
    EXPECT_TRUE(all_close(actual.weights[i], expected.weights[i], kRounding)) << i;
  }
}

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
    return Outcome{result.epochs, values(net->weights())};
  };
  const auto alone = train(nullptr);
  EXPECT_LT(alone.epochs.back().perplexity, 0.9 * alone.epochs.front().perplexity);
  for (const int64_t world : {2, 3}) {
    std::vector<Outcome> outcomes(static_cast<std::size_t>(world));
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

// A training that ends after a batch, and leaves what a checkpoint keeps.
struct Stopped {
  TrainState state;
  std::vector<torch::Tensor> weights;
};

class RankResumption : public RankTraining,
                       public ::testing::WithParamInterface<std::pair<int64_t, int64_t>> {
 protected:
  Stopped stop_after(int64_t batch, std::shared_ptr<Ranks> ranks) const {
    const auto net = make_net(corpus);
    Training training(*net, train_iter, corpus.vocab, options(std::move(ranks)));
    Stopped stopped;
    TrainCallbacks callbacks;
    callbacks.on_batch = [&](const TrainProgress& at, int64_t) {
      if (at.epoch == 2 && at.batch == batch) {
        stopped.state = training.state();
        for (auto& entry : stopped.state.updater) {
          entry.tensor = entry.tensor.clone();
        }
        for (const auto& weight : net->weights()) {
          stopped.weights.push_back(weight.tensor.detach().clone());
        }
        throw std::runtime_error("stopped");
      }
    };
    EXPECT_THROW(training.run(callbacks), std::runtime_error);
    return stopped;
  }

  Outcome resume(const Stopped& from, std::shared_ptr<Ranks> ranks) const {
    const auto net = make_net(corpus);
    Training training(*net, train_iter, corpus.vocab, options(std::move(ranks)));
    const torch::NoGradGuard no_grad;
    const auto weights = values(net->weights());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i].copy_(from.weights[i]);
    }
    training.load_state(from.state);
    const torch::AutoGradMode with_grad(true);
    return {training.run().epochs, values(net->weights())};
  }

  static TrainOptions options(std::shared_ptr<Ranks> ranks) {
    return {.epochs = 5,
            .updater = {.optimizer = Optimizer::kAdam, .lr = 0.01},
            .step = {.ranks = std::move(ranks)},
            .prompts = {}};
  }

  const SeqDataLoader train_iter = batches(Sampling::kSequential);
};

TEST_P(RankResumption, ContinuesWithinAnEpochUnderAnotherNumberOfRanks) {
  const auto [before, after] = GetParam();
  const auto net = make_net(corpus);
  const auto whole = train_ch8(*net, train_iter, corpus.vocab, options(nullptr));

  std::vector<Stopped> stopped(static_cast<std::size_t>(before));
  run_ranks(before, [&](const auto& ranks) { stopped[ranks->rank()] = stop_after(4, ranks); });
  ASSERT_EQ(stopped[0].state.progress.carry.size(), 2U);
  EXPECT_EQ(stopped[0].state.progress.carry[0].size(-2), 8);
  for (const auto& other : stopped) {
    EXPECT_TRUE(other.state.progress.carry[0].equal(stopped[0].state.progress.carry[0]));
  }
  run_ranks(after, [&](const auto& ranks) {
    expect_same(resume(stopped[0], ranks), {whole.epochs, values(net->weights())});
  });
}

INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, RankResumption,
                         ::testing::Values(std::pair(2, 3), std::pair(3, 1), std::pair(1, 2)),
                         [](const auto& info) {
                           return std::to_string(info.param.first) + "Then" +
                                  std::to_string(info.param.second);
                         });

TEST_F(RankTraining, CountsEachLabelOnceWhereRowsHaveDifferentNumbersOfThem) {
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
  const auto train = [&](std::shared_ptr<Ranks> ranks) {
    const auto net = make_net(corpus);
    const auto result =
        train_ch8(*net, train_iter, {.epochs = 4, .step = {.ranks = std::move(ranks)}});
    return Outcome{result.epochs, values(net->weights())};
  };
  const auto alone = train(nullptr);
  for (const int64_t world : {2, 8}) {  // of 8 the first has no label at all
    run_ranks(world, [&](const auto& ranks) { expect_same(train(ranks), alone); });
  }
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
    return Outcome{result.epochs, values(net->weights())};
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

TEST_F(RankTraining, GradientsOfManyBucketsAreAddedUp) {
  // More than one bucket holds, of two kinds, one of them without a gradient.
  const auto sizes = std::vector<int64_t>{3, 700'000, 5, 700'000, 7};
  run_ranks(2, [&](const auto& ranks) {
    std::vector<torch::Tensor> params;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      params.push_back(torch::zeros({sizes[i]}, i == 2 ? torch::kFloat32 : torch::kFloat64)
                           .set_requires_grad(true));
      if (i != 4) {
        params.back().mutable_grad() =
            torch::full_like(params.back(), static_cast<double>(ranks->rank() + 1));
      }
    }
    GradientSum sum(ranks, params);
    // Rank 0 has 4 labels, rank 1 has 1.
    const auto labels = torch::tensor({0, 1, 2, 3}).view({1, 4}).clone();
    if (ranks->rank() == 1) {
      labels.narrow(1, 0, 3).fill_(-100);
    }
    sum.begin(torch::tensor(1.0 + 3 * static_cast<double>(ranks->rank())), labels);
    const auto whole = sum.finish();
    EXPECT_EQ(whole.tokens, 8);
    EXPECT_DOUBLE_EQ(whole.loss.template item<double>(), (4 * 1.0 + 1 * 4.0) / 5);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(params[i].grad().allclose(torch::full_like(params[i], (4 * 1.0 + 1 * 2.0) / 5)))
          << i;
    }
    EXPECT_FALSE(params[4].grad().defined());
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
    Outcome outcome;
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
}

TEST_F(RankTraining, FailsOnAllRanksWhereOneCannotReadItsPart) {
  const auto net = make_net(corpus);
  const auto text = make_corpus(sample_text().substr(0, 15'000)).indices;
  run_ranks(2, [&](const auto& ranks) {
    const SurpriseCallback refuse = [&](int64_t, std::span<const float>) {
      if (ranks->rank() == 1) {
        throw Error("no further");
      }
    };
    EXPECT_EQ(
        thrown<Error>([&] { evaluate(*net, text, {.ranks = ranks}, refuse); }),
        ranks->rank() == 1 ? "no further" : "another rank cannot go on with its part of the text");
  });
}

TEST_F(RankTraining, ReadsAValidationTextTogether) {
  const auto net = make_net(corpus);
  const auto text = make_corpus(sample_text().substr(0, 15'000)).indices;
  const auto alone = evaluate(*net, text);
  ASSERT_EQ(alone.rows, 3);
  for (const int64_t world : {2, 5}) {  // of 5 two have no row
    run_ranks(world, [&](const auto& ranks) {
      const auto together = evaluate(*net, text, {.ranks = ranks});
      EXPECT_NEAR(together.nats, alone.nats, 1e-6);
      EXPECT_EQ(together.tokens, alone.tokens);
      EXPECT_EQ(together.unknown, alone.unknown);
    });
  }
}

}  // namespace
}  // namespace unroll

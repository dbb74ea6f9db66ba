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
#include "train/progress.h"
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
  static std::unique_ptr<SequenceModel> make_net(const Corpus& corpus, const TestModel& model) {
    static std::mutex one_at_a_time;  // ranks are threads here, and draw from one generator
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    at::manual_seed(1);
    return make_model(model, corpus.vocab.size(), torch::kCPU);
  }
  static std::unique_ptr<SequenceModel> make_net(const Corpus& corpus) {
    return make_net(corpus, plain(ModelKind::kConcise, Cell::kLstm, 12));
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

void expect_same(const Outcome& actual, const Outcome& expected, double tolerance = kRounding) {
  ASSERT_EQ(actual.epochs.size(), expected.epochs.size());
  for (std::size_t i = 0; i < expected.epochs.size(); ++i) {
    EXPECT_NEAR(actual.epochs[i].perplexity, expected.epochs[i].perplexity, tolerance) << i;
    EXPECT_NEAR(actual.epochs[i].grad_norm, expected.epochs[i].grad_norm, tolerance) << i;
    EXPECT_EQ(actual.epochs[i].skipped, expected.epochs[i].skipped) << i;
  }
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < expected.weights.size(); ++i) {
    EXPECT_TRUE(all_close(actual.weights[i], expected.weights[i], tolerance)) << i;
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
    const auto train = [&](std::shared_ptr<Ranks> ranks) {
      const auto net = make_net(corpus, model);
      const auto result =
          train_ch8(*net, train_iter, {.epochs = 4, .step = {.ranks = std::move(ranks)}});
      return Outcome{result.epochs, values(net->weights())};
    };
    const auto alone = train(nullptr);
    for (const int64_t world : {2, 8}) {  // of 8 the first has no label at all
      run_ranks(world, [&](const auto& ranks) { expect_same(train(ranks), alone, tolerance); });
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
  const auto train = [&](std::shared_ptr<Ranks> ranks) {
    const auto net = make_net(corpus, model);
    const auto result =
        train_ch8(*net, train_iter, {.epochs = 2, .step = {.ranks = std::move(ranks)}});
    return Outcome{result.epochs, values(net->weights())};
  };
  const auto alone = train(nullptr);
  run_ranks(3, [&](const auto& ranks) { expect_same(train(ranks), alone, 2e-4); });
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

// One of two ranks, whose other one has the same rows.
class Twin : public Ranks {
 public:
  int64_t world() const override { return 2; }
  Wait start_all_reduce(const torch::Tensor& values) override {
    if (++started == lost_at) {
      throw RankLost("the other one is gone");
    }
    return [values, sent = values.clone()] {
      EXPECT_TRUE(values.equal(sent)) << "written while it travels";
      values.copy_(2 * sent);
    };
  }

  int64_t started = 0;
  int64_t lost_at = 0;
};

class TravellingGradients : public ::testing::Test {
 protected:
  void make(Backend backend) {
    at::manual_seed(5);
    net_ = make_model({.cell = Cell::kLstm, .hidden = 300, .layers = 3}, kVocab, torch::kCPU,
                      {.backend = backend});
    params_ = values(net_->weights());
    sum_ = std::make_unique<GradientSum>(twin_, params_);
  }

  // Makes a new batch and no gradients.
  void next_batch() {
    batch_ = {torch::randint(kVocab, {3, 4}, torch::kInt64),
              torch::randint(kVocab, {3, 4}, torch::kInt64)};
    for (const auto& param : params_) {
      param.mutable_grad().reset();
    }
  }

  torch::Tensor begin() {
    next_batch();
    const auto loss = loss_of(*net_, batch_, net_->begin_state(3), options_, sum_->on_gradient());
    sum_->begin(loss.first, batch_.Y);
    twin_->started = 0;
    return loss.first;
  }

  // Sums of gradients that start during a step's backward pass, and those that start after it.
  std::pair<int64_t, int64_t> started() {
    std::pair<int64_t, int64_t> result;
    for (int step = 0; step < 2; ++step) {
      begin().backward();
      result.first = std::exchange(twin_->started, 0);
      const torch::NoGradGuard no_grad;
      sum_->finish();
      result.second = twin_->started;
      expect_gradients_of_the_batch();
    }
    return result;
  }

  void expect_gradients_of_the_batch() {
    std::vector<torch::Tensor> actual;
    for (const auto& param : params_) {
      actual.push_back(std::exchange(param.mutable_grad(), torch::Tensor()));
    }
    const torch::AutoGradMode with_grad(true);
    net_->loss(batch_, net_->begin_state(3)).first.backward();
    for (std::size_t i = 0; i < params_.size(); ++i) {
      EXPECT_TRUE(all_close(actual[i], params_[i].grad(), 1e-6)) << net_->weights()[i].name;
    }
  }

  static constexpr int64_t kVocab = 9;
  const std::shared_ptr<Twin> twin_ = std::make_shared<Twin>();
  std::unique_ptr<SequenceModel> net_;
  std::vector<torch::Tensor> params_;
  std::unique_ptr<GradientSum> sum_;
  StepOptions options_;
  Batch batch_;
};

TEST_F(TravellingGradients, StartBeforeTheBackwardPassEnds) {
  make(Backend::kFused);
  const auto [during, after] = started();
  EXPECT_GE(during, 3);
  EXPECT_EQ(after, 0);
}

TEST_F(TravellingGradients, OfAModelThatDoesNotReportThemStartAtTheEnd) {
  make(Backend::kPlain);
  const auto [during, after] = started();
  EXPECT_EQ(during, 0);
  EXPECT_GE(after, 3);
}

TEST_F(TravellingGradients, OfALossOfOnesOwnStartAtTheEnd) {
  options_.loss = [](SequenceModel& net, const Batch& batch, const State& state) {
    return net.loss(batch, state);
  };
  make(Backend::kFused);
  EXPECT_EQ(started().first, 0);
}

TEST_F(TravellingGradients, WithAHookStartAsTheHookGivesThem) {
  make(Backend::kFused);
  params_.back().register_hook([](const torch::Tensor& grad) { return 3 * grad; });
  EXPECT_EQ(started().first, 0);  // it is in the first bucket, and buckets keep their order
}

TEST_F(TravellingGradients, DoNotReachAWeightThatIsFrozenLater) {
  make(Backend::kFused);
  params_.front().set_requires_grad(false);
  const auto loss = begin();
  params_.front().mutable_grad() = torch::zeros_like(params_.front());
  loss.backward();
  const torch::NoGradGuard no_grad;
  sum_->finish();
  EXPECT_TRUE(params_.front().grad().eq(0).all().item<bool>());
}

TEST_F(TravellingGradients, AreReportedOnce) {
  make(Backend::kFused);
  begin();
  const auto report = sum_->on_gradient();
  report(params_.back(), torch::zeros_like(params_.back()));
  EXPECT_EQ(thrown<Error>([&] { report(params_.back(), torch::zeros_like(params_.back())); }),
            "a model reported the gradient by one of its weights twice");
}

TEST_F(TravellingGradients, SayOutOfTheBackwardPassThatARankIsLost) {
  make(Backend::kFused);
  const auto loss = begin();
  twin_->lost_at = 2;
  EXPECT_EQ(thrown<RankLost>([&] { loss.backward(); }), "the other one is gone");
  EXPECT_THAT(thrown<RankLost>([&] { begin(); }), HasSubstr("an earlier step ended"));
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

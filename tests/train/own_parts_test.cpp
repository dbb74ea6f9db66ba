// What a program may replace in a training: its optimiser, its loss, its batches; and what a model
// may bring along: weights that stay as they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/model_configs.h"
#include "support/periodic_corpus.h"
#include "support/thrown.h"
#include "train/device_updater.h"
#include "unroll/error.h"
#include "unroll/scratch.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

class OwnParts : public ::testing::Test {
 protected:
  static std::unique_ptr<SequenceModel> make_net(int64_t V) {
    at::manual_seed(0);
    return make_model({.model = ModelKind::kConcise, .hidden = 6}, V, torch::kCPU);
  }
  std::unique_ptr<SequenceModel> make_net() const { return make_net(corpus.vocab.size()); }

  // All weights after a training that stops after two epochs, and goes on in other objects.
  std::vector<torch::Tensor> stopped(const TrainOptions& options, bool is_frozen) const {
    auto first = make_net();
    freeze(*first, is_frozen);
    auto half = options;
    half.epochs = 2;
    Training begun(*first, train_iter, corpus.vocab, half);
    begun.run();
    const auto state = begun.state();
    auto second = make_net();
    freeze(*second, is_frozen);
    load_weights(*second, first->weights());
    Training resumed(*second, train_iter, corpus.vocab, options);
    resumed.load_state(state);
    resumed.run();
    return values(second->weights());
  }

  std::vector<torch::Tensor> unstopped(const TrainOptions& options, bool is_frozen) const {
    auto net = make_net();
    freeze(*net, is_frozen);
    train_ch8(*net, train_iter, corpus.vocab, options);
    return values(net->weights());
  }

  static void freeze(const SequenceModel& net, bool is_frozen) {
    net.weights()[1].tensor.requires_grad_(!is_frozen);
  }

  static void expect_equal(const std::vector<torch::Tensor>& actual,
                           const std::vector<torch::Tensor>& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(torch::equal(actual[i], expected[i])) << "weight " << i;
    }
  }

  const Corpus corpus = periodic_corpus(20);
  const SeqDataLoader train_iter{corpus.indices, {.batch_size = 2, .num_steps = 10, .offset = 0}};
  const TrainOptions brief{.epochs = 4, .every = 0, .prompts = {}};
};

std::vector<UpdaterOptions> updaters() {
  return {{.lr = 0.5},
          {.lr = 0.5, .momentum = 0.9},
          {.lr = 0.5, .weight_decay = 0.1},
          {.optimizer = Optimizer::kAdam, .lr = 0.01},
          {.optimizer = Optimizer::kAdamW, .lr = 0.01},
          {.own = [](std::vector<torch::Tensor> weights) {
            return std::make_unique<torch::optim::RMSprop>(std::move(weights), 0.01);
          }}};
}

TEST_F(OwnParts, ATrainingWithAFrozenWeightIsResumed) {
  const auto before = values(make_net()->weights())[1];
  for (const auto& updater : updaters()) {
    auto options = brief;
    options.updater = updater;
    for (const bool is_frozen : {false, true}) {
      const auto expected = unstopped(options, is_frozen);
      EXPECT_EQ(torch::equal(expected[1], before), is_frozen);
      EXPECT_FALSE(torch::equal(expected[0], values(make_net()->weights())[0]));
      expect_equal(stopped(options, is_frozen), expected);
    }
  }
}

TEST_F(OwnParts, AnEarlierGradientOfAFrozenWeightDoesNotCount) {
  const auto norms = [&](bool has_gradient) {
    auto net = make_net();
    freeze(*net, true);
    if (has_gradient) {
      auto frozen = net->weights()[1].tensor;
      frozen.mutable_grad() = torch::full_like(frozen, 100);
    }
    return train_ch8(*net, train_iter, corpus.vocab, brief).epochs.front().grad_norm;
  };
  EXPECT_EQ(norms(true), norms(false));
}

TEST_F(OwnParts, AWeightThatIsNotUsedIsNoObstacle) {
  const auto with_unused = [](int64_t V, int64_t H, torch::Device device) {
    auto params = get_params(V, H, device);
    params.push_back({"unused", torch::ones({2}, torch::requires_grad())});
    return params;
  };
  const auto forward = [](const torch::Tensor& inputs, const State& state, NamedTensors params) {
    params.pop_back();
    return rnn(inputs, state, params);
  };
  for (const auto& updater : updaters()) {
    const auto make = [&] {
      at::manual_seed(0);
      return RNNModelScratch(corpus.vocab.size(), 6, torch::kCPU, with_unused, init_rnn_state,
                             forward);
    };
    auto options = brief;
    options.updater = updater;
    auto net = make();
    Training training(net, train_iter, corpus.vocab, options);
    training.run();
    EXPECT_NO_THROW(training.load_state(training.state()));
    auto other = make();
    Training resumed(other, train_iter, corpus.vocab, options);
    EXPECT_NO_THROW(resumed.load_state(training.state()));
  }
}

TEST_F(OwnParts, TheStateOfFrozenWeightsFitsOnADevice) {
  auto net = make_net();
  freeze(*net, true);
  const UpdaterOptions adam{.optimizer = Optimizer::kAdam, .lr = 0.01};
  auto options = brief;
  options.updater = adam;
  Training training(*net, train_iter, corpus.vocab, options);
  training.run();
  auto weights = net->weights();
  weights.erase(weights.begin() + 1);
  DeviceUpdater on_device(weights, adam);
  EXPECT_NO_THROW(on_device.load_state(training.state().updater));
}

TEST_F(OwnParts, WithoutAnyWeightToTrainNothingBegins) {
  auto net = make_net();
  for (const auto& weight : values(net->weights())) {
    weight.requires_grad_(false);
  }
  EXPECT_EQ(thrown<Error>([&] { Training(*net, train_iter, corpus.vocab, brief); }),
            "no weight of the model requires a gradient, so that there is nothing to train");
}

TEST_F(OwnParts, AnOptimizerOfOnesOwnStepsAsItDoesAlone) {
  using torch::optim::Adam;
  using torch::optim::AdamOptions;
  auto options = brief;
  options.schedule = {.schedule = Schedule::kCosine};
  options.updater = {.own = [](std::vector<torch::Tensor> weights) {
    return std::make_unique<Adam>(std::move(weights), AdamOptions(0.02));
  }};
  auto same = brief;
  same.schedule = options.schedule;
  same.updater = {.optimizer = Optimizer::kAdam, .lr = 0.02};
  const auto actual = unstopped(options, false);
  const auto expected = unstopped(same, false);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::allclose(actual[i], expected[i], 1e-5, 1e-7)) << "weight " << i;
  }
}

TEST_F(OwnParts, AnOptimizerThatIsNoneOrOfAnotherStateIsRefused) {
  auto net = make_net();
  EXPECT_EQ(thrown<UsageError>([&] {
              make_updater(*net, {.own = [](const auto&) {
                return std::unique_ptr<torch::optim::Optimizer>();
              }});
            }),
            "the function that makes the optimizer must make one, got null");
  const auto updater = make_updater(*net, updaters().back());
  EXPECT_THAT(thrown<Error>([&] {
                updater->load_state({{"optimizer", torch::zeros({9}, torch::kUInt8)}});
              }),
              HasSubstr("the optimizer's state cannot be read"));
  EXPECT_THAT(thrown<Error>([&] {
                updater->load_state({{"optimizer", torch::zeros({9})}});
              }),
              HasSubstr("one row of bytes"));
  thrown<Error>([&] { updater->load_state({}); });
}

TEST_F(OwnParts, ALossOfOnesOwnIsTrainedOn) {
  auto options = brief;
  int calls = 0;
  options.step.loss = [&](SequenceModel& net, const Batch& batch, const State& state) {
    ++calls;
    auto [logits, next] = net.forward(batch.X, state);
    const auto labels = batch.Y.t().reshape({-1});
    return std::pair{torch::cross_entropy_loss(logits, labels), next};
  };
  const auto actual = unstopped(options, false);
  const auto expected = unstopped(brief, false);
  EXPECT_EQ(calls, 4 * train_iter.epoch(0).size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::allclose(actual[i], expected[i], 1e-4, 1e-5)) << "weight " << i;
  }
  options.step.loss = [](SequenceModel& net, const Batch& batch, const State& state) {
    auto [loss, next] = net.loss(batch, state);
    return std::pair{loss * 0, next};
  };
  expect_equal(unstopped(options, false), values(make_net()->weights()));
}

TEST_F(OwnParts, ALossThatIsNoneIsRefused) {
  const auto refused = [&](auto change) {
    auto options = brief;
    options.step.loss = [&](SequenceModel& net, const Batch& batch, const State& state) {
      auto result = net.loss(batch, state);
      change(result);
      return result;
    };
    return thrown<Error>([&] { unstopped(options, false); });
  };
  using Result = std::pair<torch::Tensor, State>;
  EXPECT_EQ(refused([](Result& r) { r.first = torch::Tensor(); }),
            "a loss must be a scalar with a gradient, got no tensor");
  EXPECT_EQ(refused([](Result& r) { r.first = r.first.expand({2}); }),
            "a loss must be a scalar with a gradient, got shape [2]");
  EXPECT_EQ(refused([](Result& r) { r.first = r.first.detach(); }),
            "a loss must be a scalar with a gradient, got one without");
  EXPECT_EQ(refused([](Result& r) { r.second.clear(); }),
            "the state after a batch must have 1 tensors, got 0");
}

TEST_F(OwnParts, BatchesOfOnesOwnAreTrainedOnAndResumed) {
  // Those of the corpus, by a function.
  const SeqDataLoader own(
      train_iter.epoch(0).size(), [this](int64_t e, int64_t k) { return train_iter.epoch(e)[k]; },
      Sampling::kSequential);
  auto net = make_net();
  train_ch8(*net, own, corpus.vocab, brief);
  expect_equal(values(net->weights()), unstopped(brief, false));

  auto first = make_net();
  Training begun(*first, own, corpus.vocab, brief);
  TrainState state;
  TrainCallbacks callbacks;
  callbacks.on_batch = [&](const TrainProgress& at, int64_t) {
    if (at.epoch == 1 && at.batch == 2) {
      state = begun.state();
      throw Error("stopped");
    }
  };
  EXPECT_THROW(begun.run(callbacks), Error);
  auto second = make_net();
  load_weights(*second, first->weights());
  Training resumed(*second, own, corpus.vocab, brief);
  resumed.load_state(state);
  resumed.run();
  expect_equal(values(second->weights()), values(net->weights()));
}

TEST_F(OwnParts, BatchesThatDoNotFitTheModelAreRefusedBeforeTheFirstEpoch) {
  const auto V = corpus.vocab.size();
  const SeqDataLoader own(2, [V](int64_t, int64_t) {
    return Batch{torch::full({2, 3}, V), torch::zeros({2, 3}, torch::kInt64)};
  });
  const auto net = make_net();
  EXPECT_EQ(thrown<Error>([&] { Training(*net, own, corpus.vocab, brief); }),
            "a token must be in [0, " + std::to_string(V) + "), got " + std::to_string(V));
}

TEST_F(OwnParts, AnOptimizerOfSomeWeightsClipsByTheirGradientsOfOneStep) {
  auto options = brief;
  options.step.clip = 0;
  options.updater.own = [](std::vector<torch::Tensor> weights) {
    weights.resize(1);
    return std::make_unique<torch::optim::SGD>(weights, torch::optim::SGDOptions(1e-9));
  };
  auto net = make_net();
  const auto epochs = train_ch8(*net, train_iter, corpus.vocab, options).epochs;
  // Nothing is learned, so that a gradient that was added up would grow the norm.
  EXPECT_NEAR(epochs.back().grad_norm, epochs.front().grad_norm, 0.01 * epochs.front().grad_norm);
}

TEST_F(OwnParts, LabelsThatAreLeftOutDoNotCount) {
  const SeqDataLoader own(3, [this](int64_t, int64_t k) {
    auto batch = train_iter.epoch(0)[k];
    batch.Y = batch.Y.clone();
    batch.Y.narrow(1, 5, 5).fill_(-100);
    return batch;
  });
  auto net = make_net();
  const auto result = train_ch8(*net, own, corpus.vocab, brief);
  EXPECT_GT(result.perplexity(), 1);
  EXPECT_LT(result.perplexity(), result.epochs.front().perplexity);
}

}  // namespace
}  // namespace unroll

// Captured steps, on a graph of LibTorch's operations on the CPU.
#include "train/graph_step.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "emulation/op_graph.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/periodic_corpus.h"
#include "support/thrown.h"
#include "support/twin.h"
#include "train/device_step.h"
#include "train/device_updater.h"
#include "train/host_step.h"
#include "unroll/error.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;

// A net under training by captured steps.
struct Captured {
  Captured(const TestModel& model, int64_t V, const UpdaterOptions& options,
           OnNonfinite on_nonfinite = OnNonfinite::kStop)
      : net(make_model(model, V, torch::kCPU)), updater(net->weights(), options) {
    auto own_graph = std::make_unique<OpGraph>();
    graph = own_graph.get();
    step = std::make_unique<GraphStep>(
        *net, updater, progress, StepOptions{.on_nonfinite = on_nonfinite}, std::move(own_graph),
        [this](const std::string& reason) { reasons.push_back(reason); });
  }

  EpochStats train(const Epoch& epoch) { return train_epoch_ch8(epoch, *step, progress); }

  std::unique_ptr<SequenceModel> net;
  DeviceUpdater updater;
  TrainProgress progress;
  std::vector<std::string> reasons;
  OpGraph* graph = nullptr;  // the step's
  std::unique_ptr<GraphStep> step;
};

// The models that compute by LibTorch's operations, which a graph of them can capture.
std::vector<TestModel> plain_models() {
  auto models = all_models(6);
  std::erase_if(models, [](const auto& model) { return model.is_fused(); });
  return models;
}

class GraphStepOfEachModel : public ::testing::TestWithParam<TestModel> {
 protected:
  // oneDNN's LSTM, which LibTorch has on a CPU alone, keeps memory that an OpGraph does not see.
  void SetUp() override { at::globalContext().setUserEnabledMkldnn(false); }
  void TearDown() override { at::globalContext().setUserEnabledMkldnn(true); }

  const Corpus corpus = periodic_corpus(40);
  const int64_t V = corpus.vocab.size();
};

TEST_P(GraphStepOfEachModel, TrainsAsOneOperationAfterTheOther) {
  for (const auto sampling :
       {Sampling::kSequential, Sampling::kRandom, Sampling::kSequentialReset}) {
    for (const auto optimizer : {Optimizer::kSgd, Optimizer::kAdam}) {
      SCOPED_TRACE(to_string(sampling));
      SCOPED_TRACE(to_string(optimizer));
      const SeqDataLoader train_iter(corpus.indices,
                                     {.batch_size = 2, .num_steps = 7, .sampling = sampling});
      const UpdaterOptions options{.optimizer = optimizer, .lr = 0.1};
      at::manual_seed(0);
      Captured captured(GetParam(), V, options);
      const auto net = make_model(GetParam(), V, torch::kCPU);
      load_weights(*net, captured.net->weights());
      const auto updater = make_updater(*net, options);
      TrainProgress progress;
      HostStep host(*net, *updater, progress, {});

      for (int64_t e = 0; e < 4; ++e) {
        captured.updater.set_lr(0.1 / static_cast<double>(e + 1));
        updater->set_lr(0.1 / static_cast<double>(e + 1));
        const auto actual = captured.train(train_iter.epoch(e));
        const auto expected = train_epoch_ch8(train_iter.epoch(e), host, progress);
        EXPECT_NEAR(actual.perplexity, expected.perplexity, 2e-4 * expected.perplexity);
        EXPECT_NEAR(actual.grad_norm, expected.grad_norm, 2e-3 * expected.grad_norm);
        ASSERT_EQ(captured.progress.carry.size(), progress.carry.size());
        for (std::size_t i = 0; i < progress.carry.size(); ++i) {
          EXPECT_TRUE(all_close(captured.progress.carry[i], progress.carry[i], 1e-3));
        }
      }
      EXPECT_TRUE(captured.reasons.empty()) << captured.reasons.front();
      EXPECT_EQ(captured.graph->captures(), 1);
      EXPECT_GT(captured.graph->replays(), 2 * train_iter.epoch(0).size());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GraphStepOfEachModel, ::testing::ValuesIn(plain_models()),
                         [](const auto& info) { return name_of(info.param); });

// On a corpus and model of its own.
class GraphSteps : public ::testing::Test {
 protected:
  void SetUp() override { at::manual_seed(0); }

  const Corpus corpus = periodic_corpus(40);
  const TestModel model = plain(ModelKind::kScratch, Cell::kRnn, 6);
  const SeqDataLoader train_iter{corpus.indices, {.batch_size = 2, .num_steps = 7}};
  const UpdaterOptions sgd{.lr = 0.1};
};

TEST_F(GraphSteps, AStepThatIsNotFiniteChangesNothingAndIsCounted) {
  for (const auto on_nonfinite : {OnNonfinite::kSkip, OnNonfinite::kStop}) {
    Captured captured(model, corpus.vocab.size(), {.optimizer = Optimizer::kAdam, .lr = 0.1},
                      on_nonfinite);
    const auto epoch = train_iter.epoch(0);
    captured.train(epoch);
    ASSERT_TRUE(captured.step->is_captured());

    const auto& weight = captured.net->weights().front().tensor;
    const auto weights = values(captured.net->weights());
    captured.step->run_batch(epoch, 0);
    const double value = weight[0][0].item<double>();
    weight.data()[0][0] = std::numeric_limits<float>::infinity();
    std::vector<torch::Tensor> before;
    for (const auto& w : weights) {
      before.push_back(w.detach().clone());
    }
    captured.step->run_batch(epoch, 1);
    EXPECT_EQ(captured.progress.sums.nonfinite.item<int64_t>(), 1);
    EXPECT_EQ(captured.progress.sums.steps, 2);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      EXPECT_TRUE(torch::equal(weights[i], before[i]));
    }
    const bool stops = on_nonfinite == OnNonfinite::kStop;
    EXPECT_EQ(std::isnan(captured.progress.sums.loss.item<double>()), stops);
    EXPECT_EQ(captured.progress.carry[0].isfinite().all().item<bool>(), !stops);

    // What is to stop trains on nothing more, what is to skip begins with a new state.
    weight.data()[0][0] = value;
    if (!stops) {
      EXPECT_EQ(captured.progress.carry[0].abs().max().item<double>(), 0);
    }
    captured.step->run_batch(epoch, 2);
    EXPECT_EQ(captured.progress.sums.nonfinite.item<int64_t>(), 1);
    EXPECT_EQ(torch::equal(weights.back(), before.back()), stops);
  }
}

TEST_F(GraphSteps, AnEpochGoesOnFromWhereItStands) {
  // One trains through; the other stops within an epoch, and a third goes on from there.
  Captured through(model, corpus.vocab.size(), sgd);
  Captured first(model, corpus.vocab.size(), sgd);
  Captured then(model, corpus.vocab.size(), sgd);
  load_weights(*first.net, through.net->weights());
  const auto epoch = train_iter.epoch(0);
  const auto expected = through.train(epoch);

  const int64_t stop = epoch.size() / 2;
  for (int64_t k = 0; k < stop; ++k) {
    first.step->run_batch(epoch, k);
    first.progress.batch = k + 1;
  }
  load_weights(*then.net, first.net->weights());
  const auto& sums = first.progress.sums;
  then.progress = {.epoch = 0,
                   .batch = stop,
                   .sums = {.loss = sums.loss.clone(),
                            .grad_norm = sums.grad_norm.clone(),
                            .nonfinite = sums.nonfinite.clone(),
                            .tokens = sums.tokens,
                            .steps = sums.steps},
                   .carry = {first.progress.carry[0].clone()}};
  const auto actual = then.train(epoch);
  EXPECT_DOUBLE_EQ(actual.perplexity, expected.perplexity);
  EXPECT_DOUBLE_EQ(actual.grad_norm, expected.grad_norm);
}

// Between a rank and one whose loss is zero and has as many labels, as operations of LibTorch's:
// what both have is half of what the first one has.
class SumWithZeros : public DeviceSum {
 public:
  explicit SumWithZeros(int64_t& waits) : waits_(waits) {}

  void all_reduce(const torch::Tensor& values) override { values[-1].mul_(2); }
  void end_step() override {}
  void wait() override { ++waits_; }

 private:
  int64_t& waits_;
};

// The host of one of two ranks, whose other one has done as much, and may not have captured a step.
class HostOfTwo : public Twin {
 public:
  Wait start_all_reduce(const torch::Tensor& values) override {
    auto wait = Twin::start_all_reduce(values);
    if (values.scalar_type() != torch::kInt64) {
      ++steps;
      return wait;
    }
    return [this, values, wait = std::move(wait)] {
      wait();
      values.add_(objections);
    };
  }

  int64_t steps = 0;       // that were exchanged
  int64_t objections = 0;  // to what the hosts agree on
};

class GraphStepsOfRanks : public GraphSteps {
 protected:
  GraphStepsOfRanks()
      : net(make_model(model, corpus.vocab.size(), torch::kCPU)),
        updater(net->weights(), {.lr = 0.2}),
        alone_net(make_model(model, corpus.vocab.size(), torch::kCPU)),
        alone_updater(make_updater(*alone_net, {.lr = 0.1})),
        alone_step(*alone_net, *alone_updater, alone_progress, {.clip = 0}) {
    auto own_graph = std::make_unique<OpGraph>();
    graph = own_graph.get();
    step = std::make_unique<GraphStep>(
        *net, updater, progress, StepOptions{.clip = 0, .ranks = host}, std::move(own_graph),
        [this](const std::string& reason) { reasons.push_back(reason); }, nullptr,
        std::make_unique<SumWithZeros>(waits));
    load_weights(*alone_net, net->weights());
  }

  // Of both, one of which trains by half of its gradients at twice the learning rate.
  void expect_same_epoch(const Epoch& epoch) {
    const auto actual = train_epoch_ch8(epoch, *step, progress);
    const auto expected = train_epoch_ch8(epoch, alone_step, alone_progress);
    EXPECT_NEAR(actual.perplexity, std::sqrt(expected.perplexity), 1e-5);
    EXPECT_NEAR(actual.grad_norm, expected.grad_norm / 2, 1e-5);
    for (std::size_t i = 0; i < net->weights().size(); ++i) {
      EXPECT_TRUE(all_close(net->weights()[i].tensor, alone_net->weights()[i].tensor, 1e-5)) << i;
    }
  }

  const std::shared_ptr<HostOfTwo> host = std::make_shared<HostOfTwo>();
  const std::unique_ptr<SequenceModel> net;
  DeviceUpdater updater;
  TrainProgress progress;
  std::vector<std::string> reasons;
  int64_t waits = 0;
  OpGraph* graph = nullptr;  // the step's, while it has one
  std::unique_ptr<GraphStep> step;

  const std::unique_ptr<SequenceModel> alone_net;
  const std::unique_ptr<Updater> alone_updater;
  TrainProgress alone_progress;
  HostStep alone_step;
};

TEST_F(GraphStepsOfRanks, HaveTheirSumsCaptured) {
  int64_t steps = 0;
  for (int64_t e = 0; e < 3; ++e) {
    const auto epoch = train_iter.epoch(e);
    expect_same_epoch(epoch);
    steps += epoch.size();
    EXPECT_EQ(waits, GraphStep::kWarmUps + e + 1)
        << "before what is not replayed, and before the sums of an epoch are read";
  }
  EXPECT_EQ(reasons, std::vector<std::string>());
  EXPECT_EQ(graph->captures(), 1);
  EXPECT_EQ(graph->replays(), steps - GraphStep::kWarmUps);
  EXPECT_EQ(host->steps, steps) << "the hosts exchange each step, replayed or not";
}

TEST_F(GraphStepsOfRanks, AreCapturedByAllOrByNone) {
  host->objections = 1;
  for (int64_t e = 0; e < 3; ++e) {
    expect_same_epoch(train_iter.epoch(e));
  }
  EXPECT_THAT(reasons, ElementsAre("another rank cannot capture its steps"));
  EXPECT_FALSE(step->is_captured());
}

// The rows of one rank may be as many as before where those of another are not.
TEST_F(GraphStepsOfRanks, AreCapturedAnewByAllOrByNone) {
  expect_same_epoch(train_iter.epoch(0));
  EXPECT_EQ(graph->captures(), 1);
  host->objections = 1;
  expect_same_epoch(train_iter.epoch(1));
  EXPECT_FALSE(step->is_captured());
}

// A device that is asked to save or to stop has done what it was given.
TEST_F(GraphStepsOfRanks, WaitForTheDeviceWhenSomethingIsAsked) {
  const auto epoch = train_iter.epoch(0);
  for (int64_t k = 0; k < GraphStep::kWarmUps; ++k) {
    step->run_batch(epoch, k);
  }
  host->ask(Request::kSave);
  waits = 0;
  step->run_batch(epoch, GraphStep::kWarmUps);
  EXPECT_TRUE(step->is_captured());
  EXPECT_EQ(waits, 2) << "before the capture, and for the step";
  EXPECT_EQ(host->take_asked(), Request::kSave);
  EXPECT_EQ(progress.sums.tokens, 2 * (GraphStep::kWarmUps + 1) * epoch.rows() * epoch.num_steps());
}

// To make one may ask the device for something, which would wait without a limit.
TEST_F(GraphStepsOfRanks, WaitForTheDeviceBeforeABatchOfTheCallers) {
  DeviceStep other_step(*net, updater, progress, {.ranks = host},
                        std::make_unique<SumWithZeros>(waits));
  for (auto* one : {static_cast<TrainStep*>(step.get()), static_cast<TrainStep*>(&other_step)}) {
    waits = 0;
    const SeqDataLoader own(3, [&](int64_t e, int64_t k) {
      EXPECT_EQ(waits, k);
      return train_iter.epoch(e)[k];
    });
    progress = {};
    train_epoch_ch8(own.epoch(0), *one, progress);
    EXPECT_EQ(waits, 3);
  }
}

TEST_F(GraphSteps, ABatchOutsideTheEpochIsAnError) {
  Captured captured(model, corpus.vocab.size(), sgd);
  const auto epoch = train_iter.epoch(0);
  captured.train(epoch);
  for (const int64_t k : {int64_t{-1}, epoch.size(), epoch.size() + 1}) {
    EXPECT_THROW(captured.step->run_batch(epoch, k), Error);
  }
}

TEST_F(GraphSteps, EpochsOfAnotherShapeAreCapturedAnew) {
  Captured captured(model, corpus.vocab.size(), sgd);
  captured.train(train_iter.epoch(0));
  EXPECT_EQ(captured.graph->captures(), 1);
  captured.train(train_iter.epoch(1));
  EXPECT_EQ(captured.graph->captures(), 1);
  const SeqDataLoader longer(corpus.indices, {.batch_size = 2, .num_steps = 5});
  captured.train(longer.epoch(0));
  EXPECT_EQ(captured.graph->captures(), 2);
  captured.train(train_iter.epoch(2));
  EXPECT_EQ(captured.graph->captures(), 3);
  EXPECT_TRUE(captured.reasons.empty());
}

// Asks for a value in the middle of a step, as a graph cannot.
class AskingModel : public SequenceModel {
 public:
  explicit AskingModel(std::unique_ptr<SequenceModel> model) : model_(std::move(model)) {}
  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    auto result = model_->forward(X, state);
    static_cast<void>(result.first.sum().item<float>());
    return result;
  }
  State begin_state(int64_t batch_size) const override { return model_->begin_state(batch_size); }
  int64_t vocab_size() const override { return model_->vocab_size(); }
  NamedTensors weights() const override { return model_->weights(); }
  torch::Device device() const override { return model_->device(); }

 private:
  std::unique_ptr<SequenceModel> model_;
};

TEST_F(GraphSteps, WhatCannotBeCapturedGoesOnWithoutAndSaysWhy) {
  Captured captured(model, corpus.vocab.size(), sgd);
  Captured plain(model, corpus.vocab.size(), sgd);
  load_weights(*plain.net, captured.net->weights());
  AskingModel asking(std::move(captured.net));
  std::vector<std::string> reasons;
  GraphStep step(asking, captured.updater, captured.progress, {}, std::make_unique<OpGraph>(),
                 [&](const std::string& reason) { reasons.push_back(reason); });
  for (int64_t e = 0; e < 2; ++e) {
    const auto actual = train_epoch_ch8(train_iter.epoch(e), step, captured.progress);
    EXPECT_DOUBLE_EQ(actual.perplexity, plain.train(train_iter.epoch(e)).perplexity);
  }
  EXPECT_THAT(reasons, ElementsAre("a value was asked for while it was captured"));
  EXPECT_FALSE(step.is_captured());
}

TEST_F(GraphSteps, ABatchOfNoEpochIsTrainedOnToo) {
  Captured captured(model, corpus.vocab.size(), sgd);
  Captured plain(model, corpus.vocab.size(), sgd);
  load_weights(*plain.net, captured.net->weights());
  const auto epoch = train_iter.epoch(0);
  for (int64_t k = 0; k < epoch.size(); ++k) {
    captured.step->run(epoch[k], k == 0);
    plain.step->run_batch(epoch, k);
  }
  EXPECT_DOUBLE_EQ(captured.progress.sums.loss.item<double>(),
                   plain.progress.sums.loss.item<double>());
  EXPECT_EQ(captured.progress.sums.tokens, plain.progress.sums.tokens);
}

}  // namespace
}  // namespace unroll

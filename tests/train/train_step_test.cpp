#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/periodic_corpus.h"
#include "support/thrown.h"
#include "train/host_step.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Makes every logit not-a-number; returns the last weight as it is.
torch::Tensor poison(SequenceModel& net) {
  net.weights().front().tensor.data().fill_(std::numeric_limits<float>::quiet_NaN());
  return net.weights().back().tensor.detach().clone();
}

class HostStepOfEachModel : public ::testing::TestWithParam<TestModel> {
 protected:
  void SetUp() override {
    at::manual_seed(0);
    net = make_model(GetParam(), corpus.vocab.size(), torch::kCPU);
  }

  const Corpus corpus = periodic_corpus(30);
  const SeqDataLoader train_iter{corpus.indices, {.batch_size = 2, .num_steps = 7}};
  std::unique_ptr<SequenceModel> net;
};

TEST_P(HostStepOfEachModel, CarriesTheStateWithoutItsHistory) {
  const auto updater = make_updater(*net, {.lr = 1e-30});
  TrainProgress progress;
  HostStep step(*net, *updater, progress, {});
  const auto stats = train_epoch_ch8(train_iter.epoch(0), step, progress);

  // At such a learning rate the weights stay, and one pass by hand gives the same numbers.
  auto state = net->begin_state(2);
  double loss = 0;
  for (const auto& batch : train_iter.epoch(0)) {
    auto [batch_loss, next] = net->loss(batch, state);
    loss += batch_loss.item<double>();
    state = next;
  }
  EXPECT_NEAR(stats.perplexity, std::exp(loss / static_cast<double>(train_iter.epoch(0).size())),
              1e-5);
  ASSERT_EQ(progress.carry.size(), state.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    EXPECT_TRUE(all_close(progress.carry[i], state[i], 1e-6));
    EXPECT_FALSE(progress.carry[i].requires_grad());
  }
}

TEST_P(HostStepOfEachModel, StepsByTheClippedGradient) {
  const auto batch = train_iter.epoch(0)[0];
  constexpr double kLr = 0.5, kClip = 1e-3;
  net->loss(batch, net->begin_state(2)).first.backward();
  const auto norm = grad_clipping(*net, 0).item<double>();
  ASSERT_GT(norm, kClip);
  std::vector<torch::Tensor> expected;
  for (const auto& weight : values(net->weights())) {
    expected.push_back((weight - kLr * kClip / norm * weight.grad()).detach());
    weight.grad().zero_();
  }
  const auto updater = make_updater(*net, {.lr = kLr});
  TrainProgress progress;
  HostStep step(*net, *updater, progress, {.clip = kClip});
  step.run(batch, true);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(all_close(values(net->weights())[i], expected[i], 1e-7));
  }
  EXPECT_NEAR(progress.sums.grad_norm.item<double>(), norm, 1e-5 * norm);
  EXPECT_EQ(progress.sums.tokens, 14);
}

TEST_P(HostStepOfEachModel, AStepThatIsNotFiniteEndsTheTrainingBeforeItDoesHarm) {
  const auto updater = make_updater(*net, {.optimizer = Optimizer::kAdam, .lr = 1});
  TrainProgress progress{.epoch = 2, .batch = 4, .sums = {}, .carry = {}};
  HostStep step(*net, *updater, progress, {});
  const auto bias = poison(*net);
  EXPECT_THAT(thrown<Diverged>([&] { step.run(train_iter.epoch(0)[0], true); }),
              AllOf(HasSubstr("epoch 3"), HasSubstr("batch 5"), HasSubstr("norm nan")));
  EXPECT_TRUE(torch::equal(net->weights().back().tensor, bias));
}

TEST_P(HostStepOfEachModel, AStepThatIsNotFiniteCanBeLeftOut) {
  const auto updater = make_updater(*net, {.optimizer = Optimizer::kAdam, .lr = 0.01});
  TrainProgress progress;
  HostStep step(*net, *updater, progress, {.on_nonfinite = OnNonfinite::kSkip});
  const auto epoch = train_iter.epoch(0);
  step.run(epoch[0], true);
  const auto loss = progress.sums.loss.item<double>();
  const auto norm = progress.sums.grad_norm.item<double>();
  const auto first = net->weights().front().tensor.detach().clone();
  const auto bias = poison(*net);
  step.run(epoch[1], false);

  EXPECT_TRUE(torch::equal(net->weights().back().tensor, bias));
  EXPECT_EQ(progress.sums.loss.item<double>(), loss);
  EXPECT_EQ(progress.sums.grad_norm.item<double>(), norm);
  EXPECT_EQ(progress.sums.nonfinite.item<int64_t>(), 1);
  EXPECT_EQ(progress.sums.steps, 2);
  for (const auto& state : progress.carry) {
    EXPECT_TRUE(torch::equal(state, torch::zeros_like(state)));
  }
  net->weights().front().tensor.data().copy_(first);
  step.run(epoch[2], false);
  EXPECT_GT(progress.sums.loss.item<double>(), loss);
}

INSTANTIATE_TEST_SUITE_P(Models, HostStepOfEachModel, ::testing::ValuesIn(all_models(6)),
                         [](const auto& info) { return name_of(info.param); });

TEST(OnNonfinite, NamesAreParsedBack) {
  for (const auto on_nonfinite : {OnNonfinite::kStop, OnNonfinite::kSkip}) {
    EXPECT_EQ(parse_enum<OnNonfinite>(to_string(on_nonfinite)), on_nonfinite);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<OnNonfinite>("go"); }), HasSubstr("'go'"));
}

TEST(GraphModes, NamesAreParsedBack) {
  for (const auto mode : {GraphMode::kAuto, GraphMode::kOn, GraphMode::kOff}) {
    EXPECT_EQ(parse_enum<GraphMode>(to_string(mode)), mode);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<GraphMode>("yes"); }), HasSubstr("'yes'"));
}

TEST(GraphModes, OneThatIsAskedForNeedsACudaDevice) {
  const auto needs_cuda = AllOf(HasSubstr("CUDA"), HasSubstr("got device cpu"));
  EXPECT_THAT(thrown<Error>([] { require_supported({.graph = GraphMode::kOn}, torch::kCPU); }),
              needs_cuda);
  EXPECT_NO_THROW(require_supported({.graph = GraphMode::kOn}, torch::Device(torch::kCUDA, 0)));
  EXPECT_THAT(
      thrown<Error>([] { make_model({.hidden = 4}, 5, torch::kCPU, {.graph = GraphMode::kOn}); }),
      needs_cuda);
  const auto net = make_model({.hidden = 4}, 5, torch::kCPU);
  const auto updater = make_updater(*net, {.lr = 1});
  TrainProgress progress;
  const auto make = [&](GraphMode graph) {
    return make_train_step(*net, *updater, progress, {}, graph);
  };
  EXPECT_THAT(thrown<Error>([&] { make(GraphMode::kOn); }), needs_cuda);
  for (const auto graph : {GraphMode::kAuto, GraphMode::kOff}) {
    EXPECT_NO_THROW(require_supported({.graph = graph}, torch::kCPU));
    EXPECT_FALSE(make(graph)->is_captured());
  }
}

TEST(Updaters, AStepCanDependOnATensor) {
  const auto net = make_model({.hidden = 4}, 5, torch::kCPU);
  const auto updater = make_updater(*net, {.lr = 1});
  auto weight = net->weights().front().tensor;
  weight.mutable_grad() = torch::ones_like(weight);
  const auto before = weight.detach().clone();
  updater->step_unless(torch::ones({}));
  EXPECT_TRUE(torch::equal(weight, before));
  updater->step_unless(torch::zeros({}));
  EXPECT_TRUE(all_close(weight, before - 1, 1e-6));
}

}  // namespace
}  // namespace unroll

#include "unroll/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/device_name.h"
#include "gpu/small_training.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/generate.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

TEST(Device, NamesThatAreKnown) {
  for (const char* name : {"auto", "cpu", "cuda", "cuda:0", "cuda:999"}) {
    EXPECT_NO_THROW(check_device_name(name)) << name;
  }
  for (const char* name : {"", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:0x"}) {
    EXPECT_THAT(thrown<UsageError>([&] { check_device_name(name); }), HasSubstr(name));
    thrown<UsageError>([&] { parse_device(name); });
  }
}

TEST(Device, CpuIsAlwaysThere) {
  EXPECT_EQ(parse_device("cpu"), torch::Device(torch::kCPU));
  EXPECT_EQ(describe(torch::kCPU), "cpu");
}

TEST(Device, AutoIsTryGpu) {
  EXPECT_EQ(parse_device("auto"), try_gpu());
  EXPECT_EQ(try_gpu().is_cuda(), cuda_is_available());
}

TEST(Device, AnAbsentGpuIsAnError) {
  EXPECT_THAT(thrown<Error>([] { parse_device("cuda:999"); }), HasSubstr("cuda:999"));
  if (!cuda_is_available()) {
    EXPECT_THAT(thrown<Error>([] { parse_device("cuda"); }), HasSubstr("cuda"));
  }
}

TEST(Device, ATrainingGoesOnFromItsFile) {
  for (const auto& model : all_models(8)) {
    SCOPED_TRACE(name_of(model));
    const SmallTraining training(model);
    EXPECT_EQ(training.run_on(torch::kCPU, torch::kCPU), training.run_on(torch::kCPU));
  }
}

// Models as they are computed on the first GPU, against their own formulas on the CPU. Without a
// GPU the CPU's kernels stand for its own: so it is seen on every machine that the bounds can be
// kept.
class OnTheDevice : public ::testing::TestWithParam<TestModel> {
 protected:
  void SetUp() override {
    if (device_.is_cpu() && !GetParam().is_fused()) {
      GTEST_SKIP() << "no CUDA device";
    }
    at::manual_seed(0);
    // cuDNN's recurrent layers use TF32, with 10 bits of mantissa, unless told not to.
    at::globalContext().setAllowTF32CuDNN(false);
  }

  std::unique_ptr<SequenceModel> make_plain(int64_t V) const {
    return make_model(GetParam(), V, torch::kCPU, {.backend = Backend::kPlain});
  }
  std::unique_ptr<SequenceModel> make_here(int64_t V, const SequenceModel& like) const {
    auto net = make_model(GetParam(), V, device_);
    load_weights(*net, like.weights());
    return net;
  }

  const torch::Device device_ = try_gpu();
};

TEST_P(OnTheDevice, LogitsStatesAndGradientsAreThePlainOnes) {
  constexpr int64_t V = 28, T = 5;
  const auto expected = make_plain(V);
  // One wave of groups, a rest, and several waves
  for (const int64_t B : {4, 37, 150, 700}) {
    SCOPED_TRACE(B);
    const auto actual = make_here(V, *expected);
    const auto X = torch::randint(V, {B, T}, torch::kInt64);
    const auto Y = torch::randint(V, {B, T}, torch::kInt64);
    const auto [logits, state] = expected->forward(X, expected->begin_state(B));
    const auto [there, state_there] = actual->forward(X.to(device_), actual->begin_state(B));
    EXPECT_EQ(there.device(), device_);
    EXPECT_TRUE(all_close(there, logits, 1e-4));
    for (std::size_t i = 0; i < state.size(); ++i) {
      EXPECT_TRUE(all_close(state_there[i], state[i], 1e-4));
    }
    for (const auto& weight : values(expected->weights())) {
      weight.mutable_grad().reset();
    }
    expected->loss({X, Y}, expected->begin_state(B)).first.backward();
    actual->loss({X.to(device_), Y.to(device_)}, actual->begin_state(B)).first.backward();
    const auto weights = actual->weights();
    for (const auto& [name, weight] : expected->weights()) {
      EXPECT_TRUE(all_close(tensor_named(weights, name).grad(), weight.grad(), 1e-4)) << name;
    }
  }
}

TEST_P(OnTheDevice, TrainingLearnsASmallText) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += "abc ";
  }
  const auto corpus = make_corpus(text);
  DataOptions data{.batch_size = 4, .num_steps = 8};
  if (GetParam().cell == Cell::kRnnRelu) {
    data.sampling = Sampling::kRandom;
  }
  const SeqDataLoader train_iter(corpus.indices, data, device_);
  const auto net = make_model(GetParam(), corpus.vocab.size(), device_);
  const double lr = GetParam().hidden > 256 ? 0.003 : 0.03;
  const auto result = train_ch8(
      *net, train_iter, corpus.vocab,
      {.epochs = 10, .updater = {.optimizer = Optimizer::kAdam, .lr = lr}, .prompts = {"ab"}});
  EXPECT_LT(result.perplexity(), 1.1);
  EXPECT_EQ(result.predictions.at(0).substr(0, 8), "abc abc ");
}

TEST_P(OnTheDevice, FirstEpochsAreThePlainOnes) {
  const SmallTraining training(GetParam());
  expect_near(training.run_on(device_), training.plain().run_on(torch::kCPU), 1e-4);
}

TEST_P(OnTheDevice, ATrainingGoesOnThereAndBack) {
  const SmallTraining training(GetParam());
  const auto expected = training.plain().run_on(torch::kCPU);
  expect_near(training.run_on(torch::kCPU, device_), expected, 1e-3);
  expect_near(training.run_on(device_, torch::kCPU), expected, 1e-3);
  expect_near(training.run_on(device_, device_), expected, 1e-3);
}

TEST_P(OnTheDevice, TextsAreThePlainOnes) {
  const Vocab vocab({{" ", "a", "b", "c", "d", "e", "f", "g"}});
  const auto net = make_plain(vocab.size());
  for (const auto& [name, weight] : net->weights()) {
    const torch::NoGradGuard no_grad;
    weight.copy_(torch::randn_like(weight) / std::sqrt(static_cast<double>(GetParam().hidden)));
  }
  const auto there = make_here(vocab.size(), *net);
  const std::vector<std::string> prefixes{"a", "bad cab", "ee"};
  EXPECT_EQ(predict_ch8(prefixes, 100, *there, vocab), predict_ch8(prefixes, 100, *net, vocab));
}

INSTANTIATE_TEST_SUITE_P(Models, OnTheDevice, ::testing::ValuesIn(models_on_devices()),
                         [](const auto& info) { return name_of(info.param); });
}  // namespace
}  // namespace unroll

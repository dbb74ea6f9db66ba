#include "unroll/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "all_close.h"
#include "model_configs.h"
#include "thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/scratch_weights.h"
#include "unroll/train.h"

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

// Everything again on the first GPU.
class Cuda : public ::testing::TestWithParam<ModelConfig> {
 protected:
  void SetUp() override {
    if (!cuda_is_available()) {
      GTEST_SKIP() << "no CUDA device";
    }
    at::manual_seed(0);
    // cuDNN's recurrent layers use TF32, with 10 bits of mantissa, unless told not to.
    at::globalContext().setAllowTF32CuDNN(false);
  }
};

TEST_P(Cuda, LogitsStatesAndGradientsEqualTheCpus) {
  constexpr int64_t V = 28, B = 4, T = 5;
  const auto on_cpu = make_model(GetParam(), V, torch::kCPU);
  const auto on_gpu = make_model(GetParam(), V, try_gpu());
  load_weights(*on_gpu, on_cpu->weights());
  const auto X = torch::randint(V, {B, T}, torch::kInt64);
  const auto Y = torch::randint(V, {B, T}, torch::kInt64);
  const auto device = try_gpu();

  const auto [logits, state] = on_cpu->forward(X, on_cpu->begin_state(B));
  const auto [gpu_logits, gpu_state] = on_gpu->forward(X.to(device), on_gpu->begin_state(B));
  EXPECT_TRUE(gpu_logits.is_cuda());
  EXPECT_TRUE(all_close(gpu_logits, logits, 1e-4));
  for (std::size_t i = 0; i < state.size(); ++i) {
    EXPECT_TRUE(all_close(gpu_state[i], state[i], 1e-4));
  }
  on_cpu->loss({X, Y}, on_cpu->begin_state(B)).first.backward();
  on_gpu->loss({X.to(device), Y.to(device)}, on_gpu->begin_state(B)).first.backward();
  const auto weights = on_gpu->weights();
  for (const auto& [name, weight] : on_cpu->weights()) {
    EXPECT_TRUE(all_close(at(weights, name).grad(), weight.grad(), 1e-4)) << name;
  }
}

TEST_P(Cuda, TrainingLearnsASmallText) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += "abc ";
  }
  const auto corpus = make_corpus(text);
  const SeqDataLoader train_iter(corpus.indices, {.batch_size = 4, .num_steps = 8}, try_gpu());
  const auto net = make_model(GetParam(), corpus.vocab.size(), try_gpu());
  const auto result =
      train_ch8(*net, train_iter, corpus.vocab,
                {.epochs = 10, .lr = 0.03, .optimizer = Optimizer::kAdam, .prompts = {"ab"}});
  EXPECT_LT(result.perplexity(), 1.1);
  EXPECT_EQ(result.predictions.at(0).substr(0, 8), "abc abc ");
}

INSTANTIATE_TEST_SUITE_P(Models, Cuda, ::testing::ValuesIn(all_models(32)),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll

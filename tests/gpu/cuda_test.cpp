// What needs a GPU: captured steps, its kernels and cuDNN, and the choice between them.
#include <ATen/record_function.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/cuda.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/formatted.h"
#include "cuda_part/cuda_part.h"
#include "cuda_part/device_sum.h"
#include "gpu/small_training.h"
#include "support/model_configs.h"
#include "support/periodic_corpus.h"
#include "train/device_gradient_sum.h"
#include "train/graph_step.h"
#include "unroll/compute.h"
#include "unroll/device.h"
#include "unroll/fused.h"
#include "unroll/train.h"

namespace unroll {
namespace {

// What is a GPU's alone.
class Cuda : public ::testing::TestWithParam<TestModel> {
 protected:
  void SetUp() override {
    if (!cuda_is_available()) {
      GTEST_SKIP() << "no CUDA device";
    }
    at::manual_seed(0);
    at::globalContext().setAllowTF32CuDNN(false);
  }
};

// How often the host was made to wait for a value, by any thread: backward has its own.
int64_t waits_during(const std::function<void()>& work) {
  static std::atomic<int64_t> waits;
  waits = 0;
  const auto handle =
      at::addGlobalCallback(at::RecordFunctionCallback([](const at::RecordFunction& call)
                                                           -> std::unique_ptr<at::ObserverContext> {
                              const std::string_view name = call.name();
                              if (name == "aten::_local_scalar_dense" || name == "aten::nonzero") {
                                ++waits;
                              }
                              return nullptr;
                            }).scopes({at::RecordScope::FUNCTION}));
  work();
  at::removeCallback(handle);
  return waits;
}

TEST_P(Cuda, NothingInAnEpochWaitsForTheDevice) {
  const SmallTraining training(GetParam());
  for (const auto on_nonfinite : {OnNonfinite::kStop, OnNonfinite::kSkip}) {
    EXPECT_EQ(waits_during([&] { training.run_steps_on(try_gpu(), on_nonfinite); }), 0);
  }
  EXPECT_EQ(waits_during([] { torch::ones({}, try_gpu()).item<float>(); }), 1);
}

TEST_P(Cuda, CapturedStepsTrainAsEagerOnes) {
  if (!cuda_part_problem().empty()) {
    GTEST_SKIP() << cuda_part_problem();
  }
  for (const auto& updater : {UpdaterOptions{.lr = 0.1}, UpdaterOptions{.lr = 0.1, .momentum = 0.9},
                              UpdaterOptions{.optimizer = Optimizer::kAdam, .lr = 1e-3},
                              UpdaterOptions{.optimizer = Optimizer::kAdamW, .lr = 1e-3}}) {
    SCOPED_TRACE(formatted("{}, momentum {}", to_string(updater.optimizer), updater.momentum));
    const auto training = SmallTraining(GetParam()).with(updater);
    std::vector<std::string> reasons;
    const auto captured = training.run_captured_on(
        try_gpu(), [&](const std::string& reason) { reasons.push_back(reason); });
    EXPECT_TRUE(reasons.empty()) << reasons.front();
    expect_near(captured, training.run_on(try_gpu()), 1e-4);
  }
}

TEST_P(Cuda, InBf16LogitsAndGradientsAreNearlyThose) {
  auto model = GetParam();
  if (!model.is_fused() || !cuda_part_problem().empty()) {
    GTEST_SKIP() << "no kernels of our own";
  }
  constexpr int64_t V = 28, B = 9, T = 5;
  const auto device = try_gpu();
  const auto precise = make_model(model, V, device);
  for (const auto& [name, weight] : precise->weights()) {
    const torch::NoGradGuard no_grad;  // large enough that the product with W_h counts
    weight.copy_(torch::randn_like(weight) / std::sqrt(static_cast<double>(model.hidden)));
  }
  model.compute.precision = Precision::kBf16;
  const auto rounded = make_model(model, V, device);
  load_weights(*rounded, precise->weights());
  if (rounded->effective_compute(B).precision != Precision::kBf16) {
    ASSERT_GT(model.hidden, 512) << "what is smaller always finds room";
    GTEST_SKIP() << "no room in bf16";
  }
  const auto X = torch::randint(V, {B, T}, torch::kInt64).to(device);
  const auto Y = torch::randint(V, {B, T}, torch::kInt64).to(device);
  const auto difference = [](const torch::Tensor& actual, const torch::Tensor& expected) {
    return ((actual - expected).norm() / expected.norm()).item<double>();
  };
  const auto logits = difference(rounded->forward(X, rounded->begin_state(B)).first,
                                 precise->forward(X, precise->begin_state(B)).first);
  EXPECT_GT(logits, 1e-5);
  EXPECT_LT(logits, 1e-2);
  precise->loss({X, Y}, precise->begin_state(B)).first.backward();
  rounded->loss({X, Y}, rounded->begin_state(B)).first.backward();
  const auto weights = rounded->weights();
  for (const auto& [name, weight] : precise->weights()) {
    EXPECT_LT(difference(tensor_named(weights, name).grad(), weight.grad()), 3e-2) << name;
  }
}

TEST_P(Cuda, KernelsAndGraphsAreInForceWhereTheyAreBuilt) {
  const bool are_built = cuda_part_problem().empty();
  const auto effective = make_model(GetParam(), 28, try_gpu())->effective_compute(32);
  EXPECT_EQ(effective, (Compute{.backend = GetParam().is_fused() && are_built ? Backend::kFused
                                                                              : Backend::kPlain,
                                .graph = are_built ? GraphMode::kOn : GraphMode::kOff}));
  EXPECT_EQ(cuda_kernels_problem(try_gpu()), cuda_part_problem());
}

INSTANTIATE_TEST_SUITE_P(Models, Cuda, ::testing::ValuesIn(models_on_devices()),
                         [](const auto& info) { return name_of(info.param); });

TEST(CudaFusedLayers, OutputsAndGradientsAreThoseOfTheCpu) {
  if (!cuda_is_available() || !cuda_part_problem().empty()) {
    GTEST_SKIP() << "no CUDA device";
  }
  at::manual_seed(0);
  for (const bool bidirectional : {false, true}) {
    const auto options = torch::nn::LSTMOptions(24, 96).num_layers(2).bidirectional(bidirectional);
    FusedLSTM on_cpu(options, Compute{.backend = Backend::kFused});
    const auto x = torch::randn({7, 16, 24});
    const auto upstream = torch::randn({7, 16, bidirectional ? 192 : 96});
    const auto gradients = [&](auto& layer, torch::Device device) {
      const auto input = x.to(device).requires_grad_();
      const auto outputs = std::get<0>(layer.forward(input));
      auto by = layer.parameters();
      by.push_back(input);
      auto results = torch::autograd::grad({outputs}, by, {upstream.to(device)});
      results.push_back(outputs.detach());
      return results;
    };
    const auto expected = gradients(*on_cpu, torch::kCPU);
    const auto copy = std::dynamic_pointer_cast<FusedLSTMImpl>(on_cpu->clone(try_gpu()));
    EXPECT_EQ(copy->effective_compute(16).backend, Backend::kFused);
    const auto actual = gradients(*copy, try_gpu());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto difference = (actual[i].cpu() - expected[i]).norm() / expected[i].norm();
      EXPECT_LT(difference.item<double>(), 1e-4) << i;
    }
  }
}

// cuDNN as a backend of its own, and the choice between it and our kernels.
class CudaChoice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cuda_is_available() || !torch::cuda::cudnn_is_available() ||
        !cuda_part_problem().empty()) {
      GTEST_SKIP() << "no CUDA device";
    }
    at::globalContext().setAllowTF32CuDNN(false);
  }

  static TestModel model(Cell cell, int64_t hidden, Backend backend) {
    auto result = plain(ModelKind::kScratch, cell, hidden);
    if (cell == Cell::kGru) {
      result.gru_reset = GruReset::kAfter;
    }
    result.compute = {.backend = backend};
    return result;
  }
};

TEST_F(CudaChoice, CudnnTrainsEachModelThatTorchHas) {
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    SCOPED_TRACE(to_string(cell));
    const SmallTraining training(model(cell, 40, Backend::kCudnn));
    const auto expected = training.plain().run_on(torch::kCPU);
    expect_near(training.run_on(try_gpu()), expected, 1e-4);
    std::vector<std::string> reasons;
    const auto captured = training.run_captured_on(
        try_gpu(), [&](const std::string& reason) { reasons.push_back(reason); });
    EXPECT_TRUE(reasons.empty()) << reasons.front();
    expect_near(captured, expected, 1e-4);
  }
}

// Of one rank, for which NCCL has nothing to do. gpu_check tries two.
TEST_F(CudaChoice, TheRowOfGradientsIsCapturedWithTheStep) {
  const torch::Device device(torch::kCUDA, 0);
  const auto& cuda = cuda_part();
  ASSERT_TRUE(cuda.part != nullptr) << cuda.problem;
  const auto corpus = periodic_corpus(400);
  const SeqDataLoader train_iter(corpus.indices, {.batch_size = 4, .num_steps = 8}, device);
  const auto train = [&](bool by_nccl) {
    at::manual_seed(0);
    const auto net =
        make_model(model(Cell::kLstm, 32, Backend::kFused), corpus.vocab.size(), device);
    const auto updater = make_updater(*net, {.lr = 0.5});
    JoinedDevices joined;
    if (by_nccl) {
      Ranks alone;
      joined = join_devices(
          alone, device,
          {.driver = [&]() -> const CudaDriver& { return cuda.part->driver(); },
           .example = [&] { return DeviceGradientSum::zero_row(values(net->weights())); }});
    }
    EXPECT_EQ(joined.problem, "");
    EXPECT_EQ(joined.sum != nullptr, by_nccl);
    TrainProgress progress;
    GraphStep step(
        *net, *updater, progress, {}, cuda.part->make_graph(device),
        [](const std::string& reason) { ADD_FAILURE() << reason; }, cuda.kernels.get(),
        std::move(joined.sum));
    std::vector<double> perplexities;
    for (int64_t e = 0; e < 3; ++e) {
      perplexities.push_back(train_epoch_ch8(train_iter.epoch(e), step, progress).perplexity);
    }
    EXPECT_TRUE(step.is_captured());
    return perplexities;
  };
  expect_near(train(true), train(false), 1e-4);
}

TEST_F(CudaChoice, LayersWithDropoutAreCaptured) {
  for (const auto backend : {Backend::kFused, Backend::kCudnn}) {
    auto stacked = plain(ModelKind::kConcise, Cell::kLstm, 40);
    stacked.layers = 2;
    stacked.dropout = 0.3;
    stacked.compute = {.backend = backend};
    std::vector<std::string> reasons;
    const auto perplexities = SmallTraining(stacked).run_captured_on(
        try_gpu(), [&](const std::string& reason) { reasons.push_back(reason); });
    EXPECT_TRUE(reasons.empty()) << reasons.front();
    EXPECT_LT(perplexities.back(), perplexities.front());
  }
}

// Neither waits for what the other captures.
TEST_F(CudaChoice, TrainingsInTwoThreadsAreAsAlone) {
  const SmallTraining training(model(Cell::kLstm, 40, Backend::kFused));
  const auto run = [&] {
    return training.run_captured_on(try_gpu(), [](const std::string& reason) { FAIL() << reason; });
  };
  const auto alone = run();
  for (int i = 0; i < 10; ++i) {
    auto other = std::async(std::launch::async, run);
    EXPECT_EQ(run(), alone);
    EXPECT_EQ(other.get(), alone);
  }
}

TEST_F(CudaChoice, IsByTheShapeAndCanBeForced) {
  const auto made = [&](Backend asked, int64_t hidden) {
    return make_model(model(Cell::kLstm, hidden, asked), 28, try_gpu());
  };
  EXPECT_EQ(made(Backend::kAuto, 128)->effective_compute(32).backend, Backend::kFused);
  EXPECT_EQ(made(Backend::kAuto, 1024)->effective_compute(512).backend, Backend::kCudnn);
  EXPECT_EQ(made(Backend::kFused, 128)->effective_compute(1000).backend, Backend::kFused);
  EXPECT_EQ(made(Backend::kCudnn, 128)->effective_compute(32).backend, Backend::kCudnn);
}

// Otherwise than the figures say
TEST_F(CudaChoice, FollowsAPreference) {
  for (const auto& [hidden, batch_size, preferred] :
       {std::tuple(128, 32, Backend::kCudnn), std::tuple(1024, 512, Backend::kFused)}) {
    auto lstm = model(Cell::kLstm, hidden, Backend::kAuto);
    lstm.compute.preferred = preferred;
    EXPECT_EQ(make_model(lstm, 28, try_gpu())->effective_compute(batch_size).backend, preferred);
  }
}

TEST_F(CudaChoice, ATrainingIsResumedToTheSameBits) {
  for (const auto preferred : {Backend::kFused, Backend::kCudnn}) {
    for (const int64_t batch_size : {4, 700}) {
      auto rnn = model(Cell::kRnn, 40, Backend::kAuto);
      rnn.compute.preferred = preferred;
      const SmallTraining training(rnn, batch_size);
      EXPECT_EQ(training.run_on(try_gpu(), try_gpu()), training.run_on(try_gpu()));
    }
  }
}

TEST_F(CudaChoice, Bf16IsComputedAtEverySize) {
  for (const auto cell : {Cell::kRnn, Cell::kGru, Cell::kLstm}) {
    for (const int64_t hidden : {40, 1024, 2048}) {
      SCOPED_TRACE(formatted("{} {}", to_string(cell), hidden));
      auto rounded = model(cell, hidden, Backend::kAuto);
      rounded.compute.precision = Precision::kBf16;
      const auto net = make_model(rounded, 28, try_gpu());
      EXPECT_EQ(net->effective_compute(32).precision, Precision::kBf16);
      for (const auto& [name, weight] : net->weights()) {
        const torch::NoGradGuard no_grad;  // large enough that the product with W_h counts
        weight.copy_(torch::randn_like(weight) / std::sqrt(static_cast<double>(hidden)));
      }
      const auto precise = make_model(model(cell, hidden, Backend::kPlain), 28, try_gpu());
      load_weights(*precise, net->weights());
      const auto X = torch::randint(28, {32, 5}, torch::kInt64).to(try_gpu());
      const auto expected = precise->forward(X, precise->begin_state(32)).first;
      const auto actual = net->forward(X, net->begin_state(32)).first;
      const auto difference = ((actual - expected).norm() / expected.norm()).item<double>();
      EXPECT_GT(difference, 1e-5);
      EXPECT_LT(difference, 2e-2);
    }
  }
}

// Else LibTorch would copy the weights at each call, and warn of it.
TEST_F(CudaChoice, CudnnTakesTheWeightsWhereTheyAre) {
  class Warnings : public c10::WarningHandler {
   public:
    void process(const c10::Warning& warning) override { texts.push_back(warning.msg()); }
    std::vector<std::string> texts;
  };
  Warnings warnings;
  const c10::WarningUtils::WarningHandlerGuard guard(&warnings);
  for (const auto precision : {Precision::kFp32, Precision::kBf16}) {
    for (const int64_t layers : {1, 3}) {
      auto asked = layers == 1 ? model(Cell::kLstm, 40, Backend::kCudnn)
                               : plain(ModelKind::kConcise, Cell::kLstm, 40);
      asked.layers = layers;
      asked.compute = {.backend = Backend::kCudnn, .precision = precision};
      const auto net = make_model(asked, 28, try_gpu());
      net->forward(torch::zeros({4, 5}, torch::kInt64).to(try_gpu()), net->begin_state(4));
    }
  }
  EXPECT_TRUE(warnings.texts.empty()) << warnings.texts.front();
}

}  // namespace
}  // namespace unroll

#include "unroll/device.h"

#include <ATen/record_function.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/device_name.h"
#include "base/formatted.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
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

// A training of a few epochs: no more, as rounding grows from step to step, on every device. By
// SGD, whose steps are no larger than the gradients: Adam's first ones go by their signs, which
// rounding turns around.
class SmallTraining {
 public:
  explicit SmallTraining(const TestModel& model, int64_t batch_size = 4) : model_(model) {
    // The steps are captured where a test asks for it.
    model_.compute.graph = GraphMode::kOff;
    data_.batch_size = batch_size;
    corpus_ = corpus(120 * batch_size);
    if (model.cell == Cell::kRnnRelu) {
      // A ReLU bounds no state: one that is carried on grows, and the training diverges.
      data_.sampling = Sampling::kRandom;
    }
    at::manual_seed(0);
    const ModelConfig config = model;
    weights_ = make_model(config, corpus_.vocab.size(), torch::kCPU)->weights();
  }

  SmallTraining& with(const UpdaterOptions& updater) {
    options_.updater = updater;
    return *this;
  }

  // The same model computed by its own formulas.
  SmallTraining plain() const {
    auto other = *this;
    other.model_.compute.backend = Backend::kPlain;
    return other;
  }

  // The perplexity of each epoch, from the first to the last on one device.
  std::vector<double> run_on(torch::Device device) const {
    const auto net = begin_on(device);
    const SeqDataLoader train_iter(corpus_.indices, data_, device);
    return perplexities(train_ch8(*net, train_iter, corpus_.vocab, options_));
  }

  // The same, by steps that are captured in a CUDA graph.
  std::vector<double> run_captured_on(torch::Device device,
                                      const FallbackCallback& on_fallback) const {
    const auto net = begin_on(device, GraphMode::kOn);
    const SeqDataLoader train_iter(corpus_.indices, data_, device);
    TrainCallbacks callbacks;
    callbacks.on_graph_fallback = on_fallback;
    return perplexities(train_ch8(*net, train_iter, corpus_.vocab, options_, callbacks));
  }

  // The steps of an epoch, without its end.
  void run_steps_on(torch::Device device, OnNonfinite on_nonfinite) const {
    const auto net = begin_on(device);
    const SeqDataLoader train_iter(corpus_.indices, data_, device);
    const auto updater = make_updater(*net, options_.updater);
    TrainProgress progress;
    auto options = options_.step;
    options.on_nonfinite = on_nonfinite;
    const auto step = make_train_step(*net, *updater, progress, options);
    const auto epoch = train_iter.epoch(0);
    for (int64_t k = 0; k < epoch.size(); ++k) {
      step->run_batch(epoch, k);
    }
  }

  // The same, but stopped in the middle of the second, saved, and resumed from the file.
  std::vector<double> run_on(torch::Device first, torch::Device then) const {
    const TempFolder folder;
    stop_on(first, folder / "model");
    const auto saved = load_checkpoint(folder / "model");
    const auto net = make_model(saved, then, model_.compute);
    const SeqDataLoader train_iter(corpus_.indices, data_, then);
    Training training(*net, train_iter, corpus_.vocab, saved.training->options);
    training.load_state(saved.training->state);
    return perplexities(training.run());
  }

 private:
  static std::vector<double> perplexities(const TrainResult& result) {
    std::vector<double> values;
    for (const auto& epoch : result.epochs) {
      values.push_back(epoch.perplexity);
    }
    return values;
  }

  static Corpus corpus(int64_t letters) {
    std::string text;
    while (static_cast<int64_t>(text.size()) < letters) {
      text += "abc ab ";
    }
    return make_corpus(text);
  }

  std::unique_ptr<SequenceModel> begin_on(torch::Device device,
                                          GraphMode graph = GraphMode::kOff) const {
    auto model = model_;
    model.compute.graph = graph;
    auto net = make_model(model, corpus_.vocab.size(), device);
    load_weights(*net, weights_);
    return net;
  }

  void stop_on(torch::Device device, const std::filesystem::path& path) const {
    const auto net = begin_on(device);
    const SeqDataLoader train_iter(corpus_.indices, data_, device);
    Training training(*net, train_iter, corpus_.vocab, options_);
    TrainCallbacks callbacks;
    callbacks.on_batch = [](const TrainProgress& at, int64_t) {
      if (at.epoch == 1 && at.batch == 5) {
        throw std::runtime_error("stopped");
      }
    };
    EXPECT_EQ(thrown<std::runtime_error>([&] { training.run(callbacks); }), "stopped");
    TrainRecord record;
    record.data = data_;
    record.options = options_;
    record.compute = model_.compute;
    record.state = training.state();
    save_checkpoint(path, {.config = model_,
                           .vocab = corpus_.vocab,
                           .text = corpus_.text,
                           .weights = net->weights(),
                           .epochs = record.state.progress.epoch,
                           .training = record});
  }

  TestModel model_;
  Corpus corpus_;
  DataOptions data_{.num_steps = 8};
  TrainOptions options_{.epochs = 3, .updater = {.lr = 0.1}, .prompts = {}};
  NamedTensors weights_;
};

TEST(Device, ATrainingGoesOnFromItsFile) {
  for (const auto& model : all_models(8)) {
    SCOPED_TRACE(name_of(model));
    const SmallTraining training(model);
    EXPECT_EQ(training.run_on(torch::kCPU, torch::kCPU), training.run_on(torch::kCPU));
  }
}

void expect_near(const std::vector<double>& actual, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t e = 0; e < expected.size(); ++e) {
    EXPECT_NEAR(actual[e], expected[e], tolerance * expected[e]) << "epoch " << e + 1;
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

// All that there are, and fused ones whose kernels take clusters of several sizes, and the grid.
std::vector<TestModel> models_on_cuda() {
  auto models = all_models(32);
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    for (const int64_t hidden : {40, 300, 600}) {
      models.push_back(fused(ModelKind::kScratch, cell, hidden));
    }
  }
  models.push_back(fused(ModelKind::kScratch, Cell::kGru, 600));
  models.back().gru_reset = GruReset::kAfter;
  return models;
}

INSTANTIATE_TEST_SUITE_P(Models, OnTheDevice, ::testing::ValuesIn(models_on_cuda()),
                         [](const auto& info) { return name_of(info.param); });
INSTANTIATE_TEST_SUITE_P(Models, Cuda, ::testing::ValuesIn(models_on_cuda()),
                         [](const auto& info) { return name_of(info.param); });

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

TEST_F(CudaChoice, IsByTheShapeAndCanBeForced) {
  const auto backend = [&](Backend asked, int64_t hidden, int64_t B) {
    return make_model(model(Cell::kLstm, hidden, asked), 28, try_gpu())
        ->effective_compute(B)
        .backend;
  };
  EXPECT_EQ(backend(Backend::kAuto, 128, 32), Backend::kFused);
  EXPECT_EQ(backend(Backend::kAuto, 128, 1000), Backend::kCudnn);
  EXPECT_EQ(backend(Backend::kAuto, 1024, 32), Backend::kCudnn);
  EXPECT_EQ(backend(Backend::kFused, 128, 1000), Backend::kFused);
  EXPECT_EQ(backend(Backend::kCudnn, 128, 32), Backend::kCudnn);
}

TEST_F(CudaChoice, ATrainingIsResumedToTheSameBits) {
  for (const int64_t batch_size : {4, 700}) {
    const SmallTraining training(model(Cell::kRnn, 40, Backend::kAuto), batch_size);
    EXPECT_EQ(training.run_on(try_gpu(), try_gpu()), training.run_on(try_gpu()));
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

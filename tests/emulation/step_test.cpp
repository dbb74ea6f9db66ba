// Whole training steps as a GPU is given them: by our kernels, here on the CPU.
#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "emulation/emulated_driver.h"
#include "layers/cuda_layers.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/periodic_corpus.h"
#include "train/device_updater.h"
#include "train/graph_step.h"
#include "unroll/compute.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::AnyOf;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// A model on the CPU, computed by a GPU's kernels.
class ModelOnKernels : public SequenceModel {
 public:
  ModelOnKernels(std::unique_ptr<SequenceModel> model, const CudaKernels& kernels)
      : model_(std::move(model)), kernels_(kernels), layout_(layout_of(model_->config())) {}

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    return loss({X, {}}, state);
  }
  std::pair<torch::Tensor, State> loss(const Batch& batch, const State& state) override {
    return run_on_cuda(kernels_, layout_, values(weights()), batch, state, /*dropout=*/0,
                       cuda::Operands::kFloat32, /*generator=*/{}, workspace_);
  }
  State begin_state(int64_t batch_size) const override { return model_->begin_state(batch_size); }
  int64_t vocab_size() const override { return model_->vocab_size(); }
  ModelConfig config() const override { return model_->config(); }
  NamedTensors weights() const override { return model_->weights(); }
  torch::Device device() const override { return model_->device(); }
  void train(bool on) override { model_->train(on); }
  bool is_training() const noexcept override { return model_->is_training(); }

 private:
  std::unique_ptr<SequenceModel> model_;
  const CudaKernels& kernels_;
  Layout layout_;
  std::shared_ptr<Workspace> workspace_ = std::make_shared<Workspace>();
};

// What a step gives the device to do, as it is "captured".
class RecordedGraph : public CudaGraph {
 public:
  void warm_up(const std::function<void()>& work) override { work(); }
  void capture(const std::function<void()>& work) override { work_ = work; }
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

// Counts launches of our kernels, and second streams.
class CountingDriver : public EmulatedDriver {
 public:
  using EmulatedDriver::EmulatedDriver;
  void launch(LoadedKernel kernel, const KernelLaunch& launch,
              std::span<const void* const> parameters, torch::Device device) const override {
    ++launches;
    EmulatedDriver::launch(kernel, launch, parameters, device);
  }
  std::unique_ptr<SideStream> make_side_stream(torch::Device device) const override {
    ++side_streams;
    return EmulatedDriver::make_side_stream(device);
  }
  mutable int launches = 0;
  mutable int side_streams = 0;
};

// Operations of LibTorch that give a device nothing to do: they make views and room. A CPU does an
// operation on a list as one on each.
bool is_free(const std::string& name) {
  static const std::set<std::string> free{
      "aten::t",          "aten::transpose",      "aten::narrow",      "aten::slice",
      "aten::view",       "aten::empty",          "aten::detach",      "aten::select",
      "aten::unsqueeze",  "aten::as_strided",     "aten::reshape",     "aten::empty_like",
      "aten::expand",     "aten::squeeze",        "aten::alias",       "aten::to",
      "aten::contiguous", "aten::empty_strided",  "aten::unbind",      "aten::_reshape_alias",
      "aten::mul_",       "aten::requires_grad_", "aten::resolve_conj"};
  return name.rfind("aten::", 0) != 0 || free.contains(name);
}

class RecordedOperations {
 public:
  RecordedOperations() {
    counts().clear();
    handle_ = at::addGlobalCallback(
        at::RecordFunctionCallback([](const at::RecordFunction& function)
                                       -> std::unique_ptr<at::ObserverContext> {
          if (!is_free(function.name())) {
            ++counts()[function.name()];
          }
          return nullptr;
        }).scopes({at::RecordScope::FUNCTION}));
  }
  ~RecordedOperations() { at::removeCallback(handle_); }
  RecordedOperations(const RecordedOperations&) = delete;
  RecordedOperations& operator=(const RecordedOperations&) = delete;

  static std::map<std::string, int>& counts() {
    static std::map<std::string, int> all;
    return all;
  }

 private:
  at::CallbackHandle handle_;
};

class StepOnKernels : public ::testing::TestWithParam<TestModel> {
 protected:
  static constexpr int64_t kSteps = GraphStep::kWarmUps + 2;  // two of them captured

  const Corpus corpus_ = periodic_corpus(300);
  const SeqDataLoader train_iter_{corpus_.indices, {.batch_size = 3, .num_steps = 5}};
};

// A GPU, how much it was given to do, and its kernels.
struct CountingGpu {
  explicit CountingGpu(bool has_clusters) : driver(small_gpu(6, has_clusters)) {}

  CountingDriver driver;
  CudaKernels kernels{driver, [](const std::string& name, int) {
                        return CompiledKernel{.name = name, .code = {}};
                      }};
};

TEST_P(StepOnKernels, TrainsAsTheModelItself) {
  at::manual_seed(0);
  const CountingGpu gpu(/*has_clusters=*/true);
  ModelOnKernels net(make_model(GetParam(), corpus_.vocab.size(), torch::kCPU), gpu.kernels);
  const auto plain = make_model(GetParam(), corpus_.vocab.size(), torch::kCPU);
  load_weights(*plain, net.weights());
  const UpdaterOptions options{.lr = 0.5};
  DeviceUpdater updater(net.weights(), options, &gpu.kernels);
  const auto plain_updater = make_updater(*plain, options);
  TrainProgress progress;
  TrainProgress plain_progress;
  GraphStep step(net, updater, progress, {}, std::make_unique<RecordedGraph>(), {}, &gpu.kernels);
  const auto plain_step = make_train_step(*plain, *plain_updater, plain_progress);
  const auto epoch = train_iter_.epoch(0);
  for (int64_t k = 0; k < kSteps; ++k) {
    step.run_batch(epoch, k);
    plain_step->run_batch(epoch, k);
  }
  EXPECT_TRUE(step.is_captured());
  const auto& sums = progress.sums;
  EXPECT_NEAR(sums.loss.item<double>(), plain_progress.sums.loss.item<double>(), 1e-3);
  EXPECT_NEAR(sums.grad_norm.item<double>(), plain_progress.sums.grad_norm.item<double>(), 1e-4);
  const auto weights = plain->weights();
  for (const auto& [name, weight] : net.weights()) {
    EXPECT_TRUE(all_close(weight, tensor_named(weights, name), 1e-4)) << name;
  }
}

// At most 16 kernels, where a product may take two: one that splits its depth, and one that adds
// up.
TEST_P(StepOnKernels, IsFewKernels) {
  for (const bool has_clusters : {true, false}) {
    const CountingGpu gpu(has_clusters);
    ModelOnKernels net(make_model(GetParam(), corpus_.vocab.size(), torch::kCPU), gpu.kernels);
    DeviceUpdater updater(net.weights(), {.optimizer = Optimizer::kAdam, .lr = 0.01}, &gpu.kernels);
    TrainProgress progress;
    GraphStep step(net, updater, progress, {}, std::make_unique<RecordedGraph>(), {}, &gpu.kernels);
    const auto epoch = train_iter_.epoch(0);
    for (int64_t k = 0; k < kSteps; ++k) {
      step.run_batch(epoch, k);
    }
    ASSERT_TRUE(step.is_captured());
    EXPECT_EQ(gpu.driver.side_streams, 1);  // of the sums by token
    gpu.driver.launches = 0;
    std::map<std::string, int> operations;
    {
      const RecordedOperations recorded;
      step.run_batch(epoch, kSteps);
      operations = RecordedOperations::counts();
    }
    EXPECT_THAT(operations, UnorderedElementsAre(Pair("aten::mm", AnyOf(2, 3)),
                                                 Pair("aten::_foreach_mul_", 1)));
    EXPECT_LE(gpu.driver.launches + 2 * operations["aten::mm"] + 1, 16);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, StepOnKernels, ::testing::ValuesIn(plain_recurrent_models(40)),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll

// How a step on a device ends: by our kernels, here on the CPU, against LibTorch's operations.
#include "train/update_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "emulation/emulated_driver.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "train/device_step.h"
#include "train/device_updater.h"
#include "unroll/compute.h"

namespace unroll {
namespace {

// Two trainings of one model, which differ in how they end a step.
class UpdateKernelsOfEachOptimizer : public ::testing::TestWithParam<UpdaterOptions> {
 protected:
  static constexpr int64_t V = 9, B = 4, T = 3;

  struct Trained {
    Trained(const TestModel& model, const UpdaterOptions& options, const StepOptions& how,
            const CudaKernels* kernels)
        : net(make_model(model, V, torch::kCPU)),
          updater(net->weights(), options, kernels),
          step(*net, updater, progress, how) {}

    std::unique_ptr<SequenceModel> net;
    DeviceUpdater updater;
    TrainProgress progress;
    DeviceStep step;
  };

  // Trains both alike; of batch `broken` the loss is not finite.
  void expect_same(const TestModel& model, StepOptions how, int broken = -1) {
    int batches = 0;
    how.loss = [&](SequenceModel& net, const Batch& batch, const State& state) {
      auto [loss, after] = net.loss(batch, state);
      return std::pair(batches == broken ? loss * INFINITY : loss * 3, after);
    };
    const EmulatedKernels kernels(/*has_clusters=*/true);
    Trained actual(model, GetParam(), how, &kernels);
    Trained expected(model, GetParam(), how, nullptr);
    load_weights(*actual.net, expected.net->weights());
    for (; batches < 3; ++batches) {
      SCOPED_TRACE(batches);
      const auto tokens = torch::randint(V, {B, T + 1}, torch::kInt64);
      const Batch batch{tokens.narrow(1, 0, T), tokens.narrow(1, 1, T)};
      for (auto* training : {&actual, &expected}) {
        training->step.run(batch, batches == 0);
      }
      expect_close(values(actual.net->weights()), values(expected.net->weights()));
      expect_close(values(actual.updater.state()), values(expected.updater.state()));
      expect_close(actual.progress.carry, expected.progress.carry);
      const auto& sums = actual.progress.sums;
      EXPECT_NEAR(sums.loss.item<double>(), expected.progress.sums.loss.item<double>(), 1e-4);
      EXPECT_NEAR(sums.grad_norm.item<double>(), expected.progress.sums.grad_norm.item<double>(),
                  1e-4);
      EXPECT_EQ(sums.nonfinite.item<int64_t>(), broken >= 0 && broken <= batches ? 1 : 0);
    }
  }

  static void expect_close(const std::vector<torch::Tensor>& actual,
                           const std::vector<torch::Tensor>& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      EXPECT_TRUE(all_close(actual[i].to(torch::kFloat32), expected[i].to(torch::kFloat32), 1e-5))
          << i;
    }
  }

  void SetUp() override { at::manual_seed(0); }

  // A matrix of several pieces, the last of which is not full
  const TestModel wide_ = plain(ModelKind::kConcise, Cell::kGru, 45);
};

TEST_P(UpdateKernelsOfEachOptimizer, StepAsLibTorchsOperationsDo) {
  for (const double clip : {0.0, 0.1, 1e9}) {
    SCOPED_TRACE(clip);
    expect_same(wide_, {.clip = clip});
  }
}

TEST_P(UpdateKernelsOfEachOptimizer, LeaveOutAStepThatIsNotFinite) {
  expect_same(wide_, {.on_nonfinite = OnNonfinite::kSkip}, /*broken=*/1);
}

TEST_P(UpdateKernelsOfEachOptimizer, TakeSeveralLaunchesForManyTensors) {
  auto deep = plain(ModelKind::kConcise, Cell::kRnn, 5);
  deep.layers = 13;
  expect_same(deep, {.clip = 0.1});
  expect_same(deep, {.on_nonfinite = OnNonfinite::kSkip}, /*broken=*/1);
}

INSTANTIATE_TEST_SUITE_P(
    Optimizers, UpdateKernelsOfEachOptimizer,
    ::testing::Values(UpdaterOptions{.lr = 0.5},
                      UpdaterOptions{.lr = 0.5, .momentum = 0.9, .weight_decay = 0.01},
                      UpdaterOptions{.optimizer = Optimizer::kAdam, .lr = 0.01},
                      UpdaterOptions{
                          .optimizer = Optimizer::kAdam, .lr = 0.01, .weight_decay = 0.1},
                      UpdaterOptions{.optimizer = Optimizer::kAdamW, .lr = 0.01}));

class UpdateKernelsTest : public ::testing::Test {
 protected:
  // Ends a step of these weights, whose gradients are ones.
  bool finish(const NamedTensors& weights) {
    for (const auto& [name, weight] : weights) {
      weight.mutable_grad() = torch::ones_like(weight);
    }
    DeviceUpdater updater(weights, {.lr = 1}, &kernels_);
    return updater.finish(end_);
  }

  static Sums zeros() {
    return {.loss = torch::zeros({}, torch::kFloat64),
            .grad_norm = torch::zeros({}, torch::kFloat64),
            .nonfinite = torch::zeros({}, torch::kInt64)};
  }

  const EmulatedKernels kernels_{/*has_clusters=*/false};
  StepEnd end_{.loss = torch::ones({}), .tokens = 2, .sums = zeros()};
};

TEST_F(UpdateKernelsTest, ServeFloat32InOnePiece) {
  const auto weight = torch::zeros({3, 2});
  EXPECT_TRUE(finish({{"w", weight}}));
  EXPECT_TRUE(torch::equal(weight, -torch::ones({3, 2})));
  EXPECT_EQ(end_.sums.loss.item<double>(), 2);
  EXPECT_FLOAT_EQ(end_.sums.grad_norm.item<float>(), std::sqrt(6.0F));
  EXPECT_FALSE(finish({{"w", torch::zeros({3, 2}, torch::kFloat64)}}));
  EXPECT_FALSE(finish({{"w", torch::zeros({3, 2}).t()}}));
  end_.loss = torch::ones({}, torch::kFloat64);
  EXPECT_FALSE(finish({{"w", weight}}));
}

TEST_F(UpdateKernelsTest, LeaveWeightsWithoutGradientAlone) {
  auto used = torch::zeros({2});
  auto unused = torch::zeros({2});
  used.mutable_grad() = torch::ones({2});
  DeviceUpdater updater({{"used", used}, {"unused", unused}},
                        {.optimizer = Optimizer::kAdam, .lr = 1}, &kernels_);
  EXPECT_TRUE(updater.finish(end_));
  EXPECT_TRUE(torch::equal(unused, torch::zeros({2})));
  const auto state = updater.state();
  EXPECT_EQ(tensor_named(state, "used.step").item<int64_t>(), 1);
  EXPECT_EQ(tensor_named(state, "unused.step").item<int64_t>(), 0);
  used.mutable_grad().reset();
  EXPECT_FALSE(updater.finish(end_));  // nothing is trained
}

TEST_F(UpdateKernelsTest, MoreWeightsMayBeTrainedLater) {
  NamedTensors weights;
  for (int i = 0; i < 100; ++i) {
    weights.push_back({std::to_string(i), torch::zeros({2})});
  }
  DeviceUpdater updater(weights, {.lr = 1}, &kernels_);
  for (const std::size_t trained : {1, 100}) {
    for (std::size_t i = 0; i < trained; ++i) {
      weights[i].tensor.mutable_grad() = torch::ones({2});
    }
    EXPECT_TRUE(updater.finish(end_));
  }
  EXPECT_TRUE(torch::equal(weights.front().tensor, torch::full({2}, -2.0)));
  EXPECT_TRUE(torch::equal(weights.back().tensor, torch::full({2}, -1.0)));
  EXPECT_FLOAT_EQ(end_.sums.grad_norm.item<float>(), std::sqrt(2.0F) + std::sqrt(200.0F));
}

// So that a graph that was made before is not differentiated by other weights
TEST_F(UpdateKernelsTest, LibTorchKnowsThatAWeightHasChanged) {
  auto weight = torch::ones({2}).requires_grad_();
  const auto loss = (weight * weight).sum();
  weight.mutable_grad() = torch::ones({2});
  DeviceUpdater updater({{"w", weight}}, {.lr = 1}, &kernels_);
  EXPECT_TRUE(updater.finish(end_));
  EXPECT_THROW(loss.backward(), c10::Error);
}

TEST_F(UpdateKernelsTest, RefuseAStateOfAnotherShape) {
  auto weight = torch::zeros({2});
  weight.mutable_grad() = torch::ones({2});
  end_.after = {torch::zeros({1})};
  end_.carry = {torch::zeros({2})};
  DeviceUpdater updater({{"w", weight}}, {.lr = 1}, &kernels_);
  EXPECT_FALSE(updater.finish(end_));
  end_.after = {torch::zeros({2}), torch::zeros({2})};
  EXPECT_FALSE(updater.finish(end_));
}

// With kStop the run ends with the epoch, whose sums say so.
TEST_F(UpdateKernelsTest, ANormThatIsNotFiniteShowsInTheSums) {
  auto weight = torch::zeros({2});
  weight.mutable_grad() = torch::full({2}, INFINITY);
  end_.stops = true;
  end_.after = {torch::full({2}, 5.0)};
  end_.carry = {torch::zeros({2})};
  DeviceUpdater updater({{"w", weight}}, {.lr = 1}, &kernels_);
  EXPECT_TRUE(updater.finish(end_));
  EXPECT_TRUE(torch::equal(weight, torch::zeros({2})));
  EXPECT_TRUE(std::isnan(end_.sums.loss.item<double>()));
  EXPECT_TRUE(std::isnan(end_.sums.grad_norm.item<double>()));
  EXPECT_EQ(end_.sums.nonfinite.item<int64_t>(), 1);
  EXPECT_TRUE(torch::equal(end_.carry[0], end_.after[0]));

  // Nothing more is trained, and nothing more is said.
  weight.mutable_grad() = torch::ones({2});
  EXPECT_TRUE(updater.finish(end_));
  EXPECT_TRUE(torch::equal(weight, torch::zeros({2})));
  EXPECT_EQ(end_.sums.nonfinite.item<int64_t>(), 1);
}

}  // namespace
}  // namespace unroll

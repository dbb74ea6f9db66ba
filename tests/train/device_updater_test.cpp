#include "train/device_updater.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/optim.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

class DeviceUpdaterOfEachOptimizer : public ::testing::TestWithParam<UpdaterOptions> {
 protected:
  void SetUp() override {
    at::manual_seed(0);
    const auto model = plain(ModelKind::kConcise, Cell::kRnn, 5);
    one = make_model(model, 7, torch::kCPU);
    other = make_model(model, 7, torch::kCPU);
    load_weights(*other, one->weights());
  }

  // The same gradient for both.
  void draw_gradients() {
    const auto theirs = other->weights();
    for (auto& [name, weight] : one->weights()) {
      const auto gradient = torch::randn_like(weight);
      weight.mutable_grad() = gradient.clone();
      auto counterpart = tensor_named(theirs, name);
      counterpart.mutable_grad() = gradient.clone();
    }
  }

  void expect_same_weights() {
    const auto theirs = other->weights();
    for (const auto& [name, weight] : one->weights()) {
      EXPECT_TRUE(all_close(weight, tensor_named(theirs, name), 1e-6)) << name;
    }
  }

  std::unique_ptr<SequenceModel> one;
  std::unique_ptr<SequenceModel> other;
};

TEST_P(DeviceUpdaterOfEachOptimizer, StepsAsTheOneOfTheCpu) {
  DeviceUpdater updater(one->weights(), GetParam());
  const auto expected = make_updater(*other, GetParam());
  for (int n = 0; n < 5; ++n) {
    if (n == 3) {
      updater.set_lr(0.02);
      expected->set_lr(0.02);
    }
    draw_gradients();
    updater.step();
    expected->step();
    expect_same_weights();
  }
}

TEST_P(DeviceUpdaterOfEachOptimizer, AStepThatIsSkippedLeavesAllAsItWas) {
  DeviceUpdater updater(one->weights(), GetParam());
  const auto expected = make_updater(*other, GetParam());
  for (const bool skip : {false, true, false}) {
    draw_gradients();
    updater.step_unless(torch::full({}, skip ? 1.0 : 0.0));
    expected->step_unless(torch::full({}, skip ? 1.0 : 0.0));
    expect_same_weights();
  }
}

TEST_P(DeviceUpdaterOfEachOptimizer, GoesOnFromTheStateOfTheOneOfTheCpuAndBack) {
  const auto options = GetParam();
  const auto on_cpu = make_updater(*other, options);
  {
    DeviceUpdater updater(one->weights(), options);
    draw_gradients();
    updater.step();
    on_cpu->step();
    on_cpu->load_state(updater.state());
  }
  DeviceUpdater updater(one->weights(), options);
  updater.load_state(on_cpu->state());
  for (int n = 0; n < 2; ++n) {
    draw_gradients();
    updater.step();
    on_cpu->step();
    expect_same_weights();
  }
}

TEST_P(DeviceUpdaterOfEachOptimizer, BeginsAnewFromTheStateBeforeTheFirstStep) {
  DeviceUpdater updater(one->weights(), GetParam());
  draw_gradients();
  updater.step();
  load_weights(*one, other->weights());
  updater.load_state({});
  const auto expected = make_updater(*other, GetParam());
  draw_gradients();
  updater.step();
  expected->step();
  expect_same_weights();
}

std::vector<UpdaterOptions> all_updaters() {
  return {{.optimizer = Optimizer::kSgd, .lr = 0.1},
          {.optimizer = Optimizer::kSgd, .lr = 0.1, .momentum = 0.9},
          {.optimizer = Optimizer::kSgd, .lr = 0.1, .momentum = 0.9, .weight_decay = 0.1},
          {.optimizer = Optimizer::kAdam, .lr = 0.1},
          {.optimizer = Optimizer::kAdam, .lr = 0.1, .weight_decay = 0.1},
          {.optimizer = Optimizer::kAdamW, .lr = 0.1},
          {.optimizer = Optimizer::kAdamW, .lr = 0.1, .weight_decay = 0.0}};
}

INSTANTIATE_TEST_SUITE_P(Optimizers, DeviceUpdaterOfEachOptimizer,
                         ::testing::ValuesIn(all_updaters()), [](const auto& info) {
                           return std::string(to_string(info.param.optimizer)) + "_" +
                                  std::to_string(info.index);
                         });

TEST(DeviceUpdaterState, ThatDoesNotFitIsRefusedAndChangesNothing) {
  const auto net = make_model(plain(ModelKind::kConcise, Cell::kRnn, 5), 7, torch::kCPU);
  DeviceUpdater updater(net->weights(), {.optimizer = Optimizer::kAdam, .lr = 0.1});
  auto state = updater.state();
  for (auto& entry : state) {
    entry.tensor = torch::ones_like(entry.tensor);
  }
  state.back().tensor = torch::ones({2});
  EXPECT_THAT(thrown<Error>([&] { updater.load_state(state); }), HasSubstr("linear.bias"));
  state.pop_back();
  EXPECT_THAT(thrown<Error>([&] { updater.load_state(state); }), HasSubstr("tensors, got"));
  for (const auto& entry : updater.state()) {
    EXPECT_EQ(entry.tensor.abs().sum().item<double>(), 0) << entry.name;
  }
}

}  // namespace
}  // namespace unroll

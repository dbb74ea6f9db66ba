#include "unroll/optim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <ostream>
#include <string>
#include <tuple>

#include "base/formatted.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

// Parameters of zero whose gradients are these.
std::vector<torch::Tensor> params_with(const std::vector<torch::Tensor>& gradients) {
  std::vector<torch::Tensor> params;
  for (const auto& gradient : gradients) {
    params.push_back(torch::zeros_like(gradient).requires_grad_());
    params.back().mutable_grad() = gradient.clone();
  }
  return params;
}

TEST(Sgd, SubtractsTheGradientAndZeroesIt) {
  const auto params = params_with({torch::tensor({1.0F, -2.0F})});
  sgd(params, 0.5, 4);
  EXPECT_TRUE(torch::equal(params[0], torch::tensor({-0.125F, 0.25F})));
  EXPECT_TRUE(torch::equal(params[0].grad(), torch::zeros({2})));
  sgd(params, 0.5, 4);
  EXPECT_TRUE(torch::equal(params[0], torch::tensor({-0.125F, 0.25F})));
}

TEST(Sgd, FloatsMoveByTheSameBitsAsAnyOtherTensor) {
  at::manual_seed(1);
  const auto gradient = torch::randn({7, 31});
  const auto plain = params_with({gradient});
  sgd(plain, 0.3, 1);
  // A gradient that does not lie as one array takes LibTorch's own way.
  auto other = params_with({gradient});
  other[0].mutable_grad() = gradient.t().contiguous().t();
  sgd(other, 0.3, 1);
  EXPECT_TRUE(torch::equal(plain[0], other[0]));
}

TEST(Sgd, AutogradSeesThatAWeightHasChanged) {
  const auto params = params_with({torch::ones({2})});
  const auto loss = (params[0] * params[0]).sum();
  sgd(params, 0.5, 1);
  EXPECT_THROW(loss.backward(), c10::Error);
}

TEST(GradClipping, FloatsAreClippedAsDoublesAre) {
  at::manual_seed(2);
  const auto a = torch::randn({30, 40});
  const auto b = torch::randn({50});
  const auto norm = torch::cat({a.flatten(), b}).to(torch::kFloat64).norm().item<double>();
  for (const double theta : {norm / 7, norm * 1.001}) {
    const auto params = params_with({a, b});
    EXPECT_NEAR(grad_clipping(params, theta).item<double>(), norm, 1e-5 * norm);
    const double factor = std::min(1.0, theta / norm);
    EXPECT_TRUE(all_close(params[0].grad(), a * factor, 1e-6));
    EXPECT_TRUE(all_close(params[1].grad(), b * factor, 1e-6));
  }
}

TEST(GradClipping, OneNormOverAllParametersIsScaledToTheBound) {
  at::manual_seed(0);
  const auto a = torch::randn({3, 4}, torch::kFloat64);
  const auto b = torch::randn({5}, torch::kFloat64);
  const auto norm = torch::cat({a.flatten(), b}).norm().item<double>();
  for (const double theta : {norm / 7, norm * 0.999}) {
    const auto params = params_with({a, b});
    EXPECT_NEAR(grad_clipping(params, theta).item<double>(), norm, 1e-12);
    EXPECT_TRUE(all_close(params[0].grad(), a * theta / norm, 1e-12));
    EXPECT_TRUE(all_close(params[1].grad(), b * theta / norm, 1e-12));
    EXPECT_NEAR(grad_clipping(params, 0).item<double>(), theta, 1e-12);
  }
}

TEST(GradClipping, BelowTheBoundNothingChanges) {
  const auto gradient = torch::tensor({0.3, -0.4}, torch::kFloat64);
  for (const double theta : {0.51, 1.0, 1e9}) {
    const auto params = params_with({gradient});
    EXPECT_NEAR(grad_clipping(params, theta).item<double>(), 0.5, 1e-12);
    EXPECT_TRUE(torch::equal(params[0].grad(), gradient));
  }
}

TEST(GradClipping, ZeroOnlyMeasures) {
  const auto gradient = torch::tensor({30.0, -40.0}, torch::kFloat64);
  const auto params = params_with({gradient});
  EXPECT_EQ(grad_clipping(params, 0).item<double>(), 50);
  EXPECT_TRUE(torch::equal(params[0].grad(), gradient));
}

TEST(GradClipping, ZeroGradientsStayZero) {
  const auto params = params_with({torch::zeros({2})});
  EXPECT_EQ(grad_clipping(params, 1).item<double>(), 0);
  EXPECT_TRUE(torch::equal(params[0].grad(), torch::zeros({2})));
  EXPECT_EQ(grad_clipping({torch::zeros({2}, torch::requires_grad())}, 1).item<double>(), 0);
}

// The loss and so the gradients of a small model on one batch that never changes.
class TinyTask {
 public:
  explicit TinyTask(const TestModel& model) {
    at::manual_seed(0);
    net = make_model(model, 5, torch::kCPU);
    batch = {torch::randint(5, {2, 3}, torch::kInt64), torch::randint(5, {2, 3}, torch::kInt64)};
  }

  void step(Updater& updater, int times = 1) {
    for (int i = 0; i < times; ++i) {
      updater.zero_grad();
      net->loss(batch, net->begin_state(2)).first.backward();
      updater.step();
    }
  }

  // Weights and what the updater remembers, copied.
  static NamedTensors copy(const NamedTensors& tensors) {
    NamedTensors copies;
    for (const auto& [name, tensor] : tensors) {
      copies.push_back({name, tensor.detach().clone()});
    }
    return copies;
  }

  bool has_weights(const NamedTensors& expected) const {
    const auto weights = net->weights();
    return std::all_of(weights.begin(), weights.end(), [&](const auto& w) {
      return torch::equal(w.tensor, tensor_named(expected, w.name));
    });
  }

  std::unique_ptr<SequenceModel> net;
  Batch batch;
};

const auto kScratch = plain(ModelKind::kScratch, Cell::kRnn, 4);
const auto kConcise = plain(ModelKind::kConcise, Cell::kRnn, 4);
const auto kFused = fused(ModelKind::kScratch, Cell::kRnn, 4);

struct NamedOptions {
  std::string name;
  UpdaterOptions options;
};

void PrintTo(const NamedOptions& named, std::ostream* out) { *out << named.name; }

class UpdaterOfEachKind : public ::testing::TestWithParam<std::tuple<TestModel, NamedOptions>> {
 protected:
  TestModel model() const { return std::get<0>(GetParam()); }
  std::unique_ptr<Updater> make(SequenceModel& net, double lr = 0.05) const {
    auto options = std::get<1>(GetParam()).options;
    options.lr = lr;
    return make_updater(net, options);
  }
  bool remembers() const {
    const auto& options = std::get<1>(GetParam()).options;
    return options.optimizer != Optimizer::kSgd || options.momentum > 0;
  }
  TinyTask task{model()};
};

TEST_P(UpdaterOfEachKind, LowersTheLoss) {
  const auto loss = [&] {
    return task.net->loss(task.batch, task.net->begin_state(2)).first.item<double>();
  };
  const auto updater = make(*task.net, 0.05);
  const double before = loss();
  task.step(*updater, 20);
  EXPECT_LT(loss(), before);
}

TEST_P(UpdaterOfEachKind, GoesOnFromItsStateAsIfItHadNotStopped) {
  const auto updater = make(*task.net, 0.05);
  task.step(*updater, 3);
  const auto weights = TinyTask::copy(task.net->weights());
  const auto state = TinyTask::copy(updater->state());
  EXPECT_EQ(state.empty(), !remembers());
  task.step(*updater, 3);

  TinyTask resumed(model());
  load_weights(*resumed.net, weights);
  const auto next = make(*resumed.net, 0.05);
  next->load_state(state);
  resumed.step(*next, 3);
  EXPECT_TRUE(resumed.has_weights(task.net->weights()));
}

TEST_P(UpdaterOfEachKind, TakesStepsOfTheLearningRateThatWasSetLast) {
  const auto updater = make(*task.net, 1);
  updater->set_lr(0);
  const auto before = TinyTask::copy(task.net->weights());
  task.step(*updater);
  EXPECT_TRUE(task.has_weights(before));
  updater->set_lr(0.1);
  task.step(*updater);
  EXPECT_FALSE(task.has_weights(before));
}

TEST_P(UpdaterOfEachKind, RefusesAStateThatDoesNotFit) {
  const auto updater = make(*task.net, 0.05);
  thrown<Error>([&] { updater->load_state({{"W_other.step", torch::zeros(1)}}); });
  task.step(*updater);
  auto state = TinyTask::copy(updater->state());
  if (!state.empty()) {
    state[1].tensor = torch::zeros({1, 2, 3});
    thrown<Error>([&] { updater->load_state(state); });
  }
}

TEST_P(UpdaterOfEachKind, ZeroGradForgetsEarlierGradients) {
  const auto updater = make(*task.net, 0.05);
  TinyTask fresh(model());
  const auto fresh_updater = make(*fresh.net, 0.05);
  fresh.step(*fresh_updater);
  // A gradient from elsewhere, before the first step.
  task.net->loss(task.batch, task.net->begin_state(2)).first.backward();
  task.step(*updater);
  EXPECT_TRUE(task.has_weights(fresh.net->weights()));
}

const auto kNamedOptions =
    ::testing::Values(NamedOptions{"sgd", {}}, NamedOptions{"momentum", {.momentum = 0.9}},
                      NamedOptions{"decay", {.weight_decay = 0.1}},
                      NamedOptions{"adam", {.optimizer = Optimizer::kAdam}},
                      NamedOptions{"adamw", {.optimizer = Optimizer::kAdamW, .weight_decay = 0.1}});

INSTANTIATE_TEST_SUITE_P(Updaters, UpdaterOfEachKind,
                         ::testing::Combine(::testing::Values(kScratch, kConcise, kFused),
                                            kNamedOptions),
                         [](const auto& info) {
                           return formatted("{}_{}", name_of(std::get<0>(info.param)),
                                            std::get<1>(info.param).name);
                         });

// Holds the first weight after each of three steps to `next(before, gradient, velocity)`.
template <typename Next>
void expect_steps(const UpdaterOptions& options, const Next& next) {
  for (const auto& model : {kScratch, kConcise, kFused}) {
    TinyTask task(model);
    const auto updater = make_updater(*task.net, options);
    const auto weight = values(task.net->weights()).front();
    torch::Tensor velocity;
    for (int step = 0; step < 3; ++step) {
      const auto before = weight.detach().clone();
      task.step(*updater);
      const auto expected = next(before, weight.grad().clone(), velocity);
      EXPECT_TRUE(all_close(weight, expected, 1e-6)) << name_of(model) << " step " << step;
    }
  }
}

TEST(Updater, MomentumAddsUpTheGradients) {
  // As torch::optim::SGD has it: v <- m v + g, p <- p - lr v.
  expect_steps({.lr = 0.3, .momentum = 0.9},
               [](const auto& before, const auto& grad, torch::Tensor& velocity) {
                 velocity = velocity.defined() ? 0.9 * velocity + grad : grad;
                 return before - 0.3 * velocity;
               });
}

TEST(Updater, WeightDecayPullsToZero) {
  expect_steps({.lr = 0.3, .weight_decay = 0.2},
               [](const auto& before, const auto& grad, torch::Tensor&) {
                 return before - 0.3 * (grad + 0.2 * before);
               });
}

TEST(Updater, OptionsOutOfRangeAreWrongUsage) {
  TinyTask task(kScratch);
  const auto refused = [&](const std::string& expected, const UpdaterOptions& options) {
    EXPECT_THAT(thrown<UsageError>([&] { make_updater(*task.net, options); }), HasSubstr(expected));
  };
  refused("got 0", {.lr = 0});
  refused("got 1", {.momentum = 1});
  refused("got -0.5", {.momentum = -0.5});
  refused("momentum 0.5 with adam", {.optimizer = Optimizer::kAdam, .momentum = 0.5});
  refused("got -1", {.weight_decay = -1});
  refused("got nan", {.weight_decay = std::nan("")});
}

TEST(Updater, SgdIsTheSameForRawTensorsAndModules) {
  for (const auto& model : {kScratch, kConcise}) {
    TinyTask task(model);
    const auto updater = make_updater(*task.net, {.lr = 0.3});
    task.net->loss(task.batch, task.net->begin_state(2)).first.backward();
    std::vector<torch::Tensor> expected;
    for (const auto& weight : values(task.net->weights())) {
      expected.push_back((weight - 0.3 * weight.grad()).detach());
      weight.grad().zero_();
    }
    task.step(*updater);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(all_close(values(task.net->weights())[i], expected[i], 1e-7));
    }
  }
}

TEST(Updater, AdamsFirstStepIsTheLearningRateAgainstTheGradientsSign) {
  TinyTask task(kScratch);
  const auto updater = make_updater(*task.net, {.optimizer = Optimizer::kAdam, .lr = 0.01});
  const auto before = TinyTask::copy(task.net->weights());
  task.step(*updater);
  const auto bias = tensor_named(task.net->weights(), "b_q");
  EXPECT_TRUE(all_close(bias, tensor_named(before, "b_q") - 0.01 * bias.grad().sign(), 1e-5));
}

TEST(Updater, NamesAreParsedBack) {
  for (const auto optimizer : {Optimizer::kSgd, Optimizer::kAdam, Optimizer::kAdamW}) {
    EXPECT_EQ(parse_enum<Optimizer>(to_string(optimizer)), optimizer);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<Optimizer>("lion"); }), HasSubstr("'lion'"));
}

}  // namespace
}  // namespace unroll

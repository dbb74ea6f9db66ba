#include "study/gradient_flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "support/model_configs.h"
#include "support/random_values.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::Each;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kV = 7;
constexpr int64_t kT = 6;

std::unique_ptr<SequenceModel> drawn_model(const TestModel& model) {
  at::manual_seed(3);
  auto net = make_model(model, kV, torch::kCPU);
  draw_weights(*net);
  return net;
}

torch::Tensor random_stretches(int64_t B) { return torch::randint(kV, {B, kT + 1}); }

torch::Tensor last_loss(const torch::Tensor& logits, const torch::Tensor& stretch) {
  return torch::cross_entropy_loss(logits.narrow(0, logits.size(0) - 1, 1), stretch.select(1, kT));
}

TEST(GradientFlow, FallsByTheFactorOfALinearRecurrence) {
  // Close to 0 tanh is linear, so that each step back multiplies by W_hh = 0.7 I.
  const ModelConfig config{.hidden = 8};
  const auto net = make_model(config, kV, torch::kCPU);
  {
    const torch::NoGradGuard no_grad;
    tensor_named(net->weights(), "W_xh").mul_(0.01);
    tensor_named(net->weights(), "W_hh").copy_(0.7 * torch::eye(8));
  }
  const auto flow = gradient_flow(config, net->weights(), random_stretches(3), 1);
  ASSERT_THAT(flow.h, SizeIs(kT));
  EXPECT_THAT(flow.h, Each(Gt(0)));
  for (std::size_t k = 1; k < flow.h.size(); ++k) {
    EXPECT_NEAR(flow.h[k] / flow.h[k - 1], 0.7, 1e-4);
  }
}

// Runs the model up to a state, and from that as a leaf to the end in one pass.
TEST(GradientFlow, IsTheGradientByTheStateThatTheOtherStepsRead) {
  auto models = all_models(4);
  std::erase_if(models, [](const TestModel& model) { return model.is_fused(); });
  for (const auto& model : models) {
    SCOPED_TRACE(name_of(model));
    const auto net = drawn_model(model);
    const auto stretch = random_stretches(1);
    const auto flow = gradient_flow(model, net->weights(), stretch, 0);
    ASSERT_THAT(flow.h, SizeIs(kT));
    if (model.cell == Cell::kMlp) {
      continue;
    }
    for (int64_t k = 1; k < kT; ++k) {
      const auto first = stretch.narrow(1, 0, kT - k);
      auto state = detach(net->forward(first, net->begin_state(1)).second);
      for (auto& part : state) {
        part.requires_grad_();
      }
      const auto logits = net->forward(stretch.narrow(1, kT - k, k), state).first;
      const auto gradients = torch::autograd::grad({last_loss(logits, stretch)}, state);
      const auto at = static_cast<std::size_t>(k);
      const auto expected = gradients[0].norm().item<double>();
      EXPECT_NEAR(flow.h[at], expected, 1e-5 * expected) << k << " steps before";
      if (gradients.size() == 2) {
        const auto expected_c = gradients[1].norm().item<double>();
        EXPECT_NEAR(flow.c.at(at), expected_c, 1e-5 * expected_c) << k << " steps before";
      }
    }
  }
}

TEST(GradientFlow, StartsAtWhatTheLastPredictionReads) {
  const auto model = plain(ModelKind::kScratch, Cell::kRnn, 4);
  const auto net = drawn_model(model);
  const auto stretch = random_stretches(1);
  const auto [logits, state] = net->forward(stretch.narrow(1, 0, kT), net->begin_state(1));
  const auto gradients = torch::autograd::grad({last_loss(logits, stretch)}, {state.front()});
  const auto expected = gradients[0].norm().item<double>();
  EXPECT_NEAR(gradient_flow(model, net->weights(), stretch, 0).h[0], expected, 1e-5 * expected);
}

TEST(GradientFlow, IsTheSameForBothKindsOfModel) {
  const auto scratch = plain(ModelKind::kScratch, Cell::kLstm, 4);
  const auto concise = plain(ModelKind::kConcise, Cell::kLstm, 4);
  const auto weights = drawn_model(scratch)->weights();
  const auto stretches = random_stretches(2);
  const auto a = gradient_flow(scratch, weights, stretches, 1);
  const auto b = gradient_flow(concise, concise_weights(Cell::kLstm, weights), stretches, 1);
  for (std::size_t k = 0; k < a.h.size(); ++k) {
    EXPECT_NEAR(a.h[k], b.h[k], 1e-5 * a.h[k]);
    EXPECT_NEAR(a.c[k], b.c[k], 1e-5 * a.c[k]);
  }
}

TEST(GradientFlow, OfAnLstmGoesThroughBothStates) {
  const auto lstm = plain(ModelKind::kScratch, Cell::kLstm, 4);
  const auto flow = gradient_flow(lstm, drawn_model(lstm)->weights(), random_stretches(2), 1);
  ASSERT_THAT(flow.c, SizeIs(kT));
  EXPECT_EQ(flow.c[0], 0);
  for (std::size_t k = 1; k < flow.c.size(); ++k) {
    EXPECT_GT(flow.c[k], 0);
    EXPECT_NE(flow.c[k], flow.h[k]);
  }
  const auto gru = plain(ModelKind::kScratch, Cell::kGru, 4);
  EXPECT_THAT(gradient_flow(gru, drawn_model(gru)->weights(), random_stretches(2), 1).c, IsEmpty());
}

TEST(GradientFlow, OfTheMlpEndsAtOnce) {
  const auto mlp = plain(ModelKind::kScratch, Cell::kMlp, 4);
  const auto flow = gradient_flow(mlp, drawn_model(mlp)->weights(), random_stretches(2), 1);
  EXPECT_GT(flow.h[0], 0);
  EXPECT_EQ(std::vector(flow.h.begin() + 1, flow.h.end()), std::vector<double>(kT - 1, 0));
  EXPECT_THAT(flow.c, IsEmpty());
  EXPECT_GT(flow.norm, 0);
}

TEST(GradientFlow, IsTheGeometricMeanOfItsStretches) {
  const auto model = plain(ModelKind::kConcise, Cell::kGru, 4);
  const auto weights = drawn_model(model)->weights();
  const auto stretches = random_stretches(2);
  const auto both = gradient_flow(model, weights, stretches, 0);
  const auto first = gradient_flow(model, weights, stretches.narrow(0, 0, 1), 0);
  const auto second = gradient_flow(model, weights, stretches.narrow(0, 1, 1), 0);
  for (std::size_t k = 0; k < both.h.size(); ++k) {
    EXPECT_NEAR(both.h[k], std::sqrt(first.h[k] * second.h[k]), 1e-5 * both.h[k]);
  }
}

TEST(GradientFlow, ClipsTheGradientOfTheWholeBatch) {
  const auto model = plain(ModelKind::kConcise, Cell::kRnn, 4);
  const auto net = drawn_model(model);
  const auto stretches = random_stretches(3);
  const Batch batch{stretches.narrow(1, 0, kT), stretches.narrow(1, 1, kT)};
  net->loss(batch, net->begin_state(3)).first.backward();
  double squares = 0;
  for (const auto& weight : values(net->weights())) {
    squares += weight.grad().square().sum().item<double>();
  }
  const auto norm = std::sqrt(squares);
  const auto clipped = gradient_flow(model, net->weights(), stretches, norm / 4);
  EXPECT_NEAR(clipped.norm, norm, 1e-5 * norm);
  EXPECT_NEAR(clipped.clip_factor, 0.25, 1e-5);
  EXPECT_EQ(gradient_flow(model, net->weights(), stretches, 2 * norm).clip_factor, 1);
  EXPECT_EQ(gradient_flow(model, net->weights(), stretches, 0).clip_factor, 1);
}

TEST(GradientFlow, IsMeasuredWithoutDropoutAndWhereGradientsAreOff) {
  TestModel model = plain(ModelKind::kConcise, Cell::kLstm, 4);
  model.layers = 2;
  const auto weights = drawn_model(model)->weights();
  const auto stretches = random_stretches(2);
  const auto expected = gradient_flow(model, weights, stretches, 1);
  model.dropout = 0.5;
  const torch::NoGradGuard no_grad;
  const auto actual = gradient_flow(model, weights, stretches, 1);
  EXPECT_EQ(actual.h, expected.h);
  EXPECT_EQ(actual.norm, expected.norm);
}

TEST(GradientFlow, RefusesWhatIsNoStretch) {
  const auto model = plain(ModelKind::kScratch, Cell::kRnn, 4);
  const auto weights = drawn_model(model)->weights();
  EXPECT_THAT(thrown<Error>([&] {
                gradient_flow(model, weights, torch::zeros({2, 1}), 1);
              }),
              HasSubstr("got [2, 1]"));
  thrown<Error>([&] { gradient_flow(model, weights, torch::zeros({5}), 1); });
  EXPECT_THAT(thrown<Error>([&] {
                gradient_flow(model, weights, torch::tensor({{0, 1, 7}}), 1);
              }),
              HasSubstr("[0, 7), got 7"));
  thrown<UsageError>([&] { gradient_flow(model, weights, random_stretches(1), -1); });
}

}  // namespace
}  // namespace unroll

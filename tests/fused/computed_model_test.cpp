#include "fused/computed_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <memory>
#include <random>
#include <vector>

#include "base/formatted.h"
#include "fused/fused_and_plain.h"
#include "support/model_configs.h"
#include "support/random_values.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Those that the fused backend computes.
std::vector<TestModel> models(int64_t hidden) {
  auto result = plain_recurrent_models(hidden);
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    result.push_back(plain(ModelKind::kConcise, cell, hidden));
    result.back().layers = 3;
  }
  return result;
}

TEST_P(Fused, LossStatesAndGradientsEqualThePlainModelsOverRandomShapes) {
  std::mt19937 random(7);
  at::manual_seed(7);
  const auto draw = [&](std::initializer_list<int64_t> values) {
    return values.begin()[random() % values.size()];
  };
  std::vector<Shape> shapes{{1, 1, 1, 1}, {1, 5, 3, 16}, {32, 4, 28, 64}, {2, 3, 70, 65}};
  for (int n = 0; n < 6; ++n) {
    shapes.push_back({draw({1, 2, 3, 7, 33, 70}), draw({1, 2, 6}), draw({1, 2, 17, 28, 130}),
                      draw({1, 3, 15, 17, 48, 63, 96, 131})});
  }
  for (const auto& shape : shapes) {
    SCOPED_TRACE(to_text(shape));
    make(shape);
    expect_the_same(shape, 2e-6, kTolerance);
  }
}

TEST_P(Fused, ReportsEachWholeGradientBeforeTheBackwardPassEnds) {
  const Shape shape{5, 4, 19, 37};
  make(shape);
  const auto batch = random_batch(shape);
  const auto expected = results(batch, 1);
  const auto weights = fused_->weights();
  std::vector<torch::Tensor> reported(weights.size());
  for (const auto& weight : weights) {
    weight.tensor.mutable_grad().reset();
  }
  const auto report = [&](const torch::Tensor& weight, const torch::Tensor& gradient) {
    EXPECT_FALSE(weight.grad().defined());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i].tensor.is_same(weight)) {
        EXPECT_FALSE(reported[i].defined()) << weights[i].name << " again";
        reported[i] = gradient.clone();
      }
    }
  };
  const auto loss = fused_->reporting_loss(batch, fused_->begin_state(shape.B), report).first;
  EXPECT_TRUE(loss.equal(expected[0]));
  (3 * loss).backward();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto& name = weights[i].name;
    const auto grad = weights[i].tensor.grad();
    EXPECT_LT(distance(grad, 3 * expected[expected.size() - weights.size() + i]), 1e-6) << name;
    ASSERT_TRUE(reported[i].defined()) << name;
    EXPECT_TRUE(reported[i].equal(grad)) << name;
  }
}

TEST_P(Fused, LogitsAndTheirGradientsEqualThePlainModels) {
  at::manual_seed(3);
  const Shape shape{5, 4, 19, 37};
  make(shape);
  const auto batch = random_batch(shape);
  const auto weighting = torch::randn({shape.B * shape.T, shape.V});
  const auto [logits, after] = plain_->forward(batch.X, plain_->begin_state(shape.B));
  const auto [fused_logits, fused_after] = fused_->forward(batch.X, fused_->begin_state(shape.B));
  EXPECT_LT(distance(fused_logits, logits), kTolerance);
  (logits * weighting).sum().backward();
  (fused_logits * weighting).sum().backward();
  expect_same_gradients(kTolerance);
}

TEST_P(Fused, TheUpstreamGradientScalesTheGradients) {
  at::manual_seed(4);
  const Shape shape{3, 4, 11, 20};
  make(shape);
  const auto batch = random_batch(shape);
  (plain_->loss(batch, plain_->begin_state(shape.B)).first * 3).backward();
  (fused_->loss(batch, fused_->begin_state(shape.B)).first * 3).backward();
  expect_same_gradients(kTolerance);
}

TEST_P(Fused, ResultsAreTheSameBitsWhateverTheNumberOfThreads) {
  at::manual_seed(5);
  // Many sequences, which are shared out, and few, whose units are: 7 are below 8 a thread, and 280
  // units make a step of every cell worth it. An LSTM's or a GRU's weights of 400 units outgrow
  // most cores' own cache, and 130 sequences are enough for two threads all the same.
  for (const auto& shape : {Shape{32, 6, 28, 130}, Shape{7, 4, 30, 280}, Shape{20, 2, 28, 400},
                            Shape{130, 2, 28, 400}}) {
    SCOPED_TRACE(to_text(shape));
    make(shape);
    const auto batch = random_batch(shape);
    plain_->loss(batch, plain_->begin_state(shape.B)).first.backward();
    expect_same_bits_whatever_the_threads(batch);
    for (const int threads : {1, 2, 3}) {
      results(batch, threads);
      expect_same_gradients(kTolerance);
    }
  }
}

TEST_P(Fused, DoublePrecisionIsThePlainComposition) {
  at::manual_seed(6);
  const Shape shape{2, 3, 5, 7};
  make(shape);
  for (auto* net : {plain_.get(), fused_.get()}) {
    for (const auto& [name, weight] : net->weights()) {
      weight.set_data(weight.to(torch::kFloat64));
    }
  }
  const auto batch = random_batch(shape);
  State state;
  for (const auto& s : plain_->begin_state(shape.B)) {
    state.push_back(s.to(torch::kFloat64));
  }
  EXPECT_TRUE(
      torch::equal(fused_->forward(batch.X, state).first, plain_->forward(batch.X, state).first));
}

// A model's gradients on a batch, from states of zeros.
std::vector<torch::Tensor> gradients_of(SequenceModel& net, const Batch& batch) {
  std::vector<torch::Tensor> result;
  for (const auto& [name, weight] : net.weights()) {
    weight.mutable_grad().reset();
  }
  net.loss(batch, net.begin_state(batch.X.size(0))).first.backward();
  for (const auto& [name, weight] : net.weights()) {
    result.push_back(weight.grad().clone());
  }
  return result;
}

void expect_equal(const std::vector<torch::Tensor>& actual,
                  const std::vector<torch::Tensor>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::equal(actual[i], expected[i])) << "weight " << i;
  }
}

TEST_P(Fused, NothingStaysInTheMemoryOfWhatWasNotANumber) {
  at::manual_seed(8);
  const Shape shape{4, 3, 9, 21};
  make(shape);
  const auto batch = random_batch(shape);
  const auto first = gradients_of(*fused_, batch);
  {
    auto poisoned = fused_->begin_state(shape.B);
    for (auto& s : poisoned) {
      s.fill_(std::numeric_limits<float>::quiet_NaN());
    }
    const auto loss = fused_->loss(batch, poisoned).first;
    EXPECT_FALSE(std::isfinite(loss.item<double>()));
    loss.backward();
  }
  expect_equal(gradients_of(*fused_, batch), first);
}

TEST_P(Fused, NothingStaysInTheMemoryOfAnotherShape) {
  at::manual_seed(8);
  make({4, 3, 9, 21});
  const auto batch = random_batch({4, 3, 9, 21});
  const auto first = gradients_of(*fused_, batch);
  for (const auto& other : {Shape{7, 2, 9, 21}, Shape{2, 1, 9, 21}, Shape{33, 5, 9, 21}}) {
    gradients_of(*fused_, random_batch(other));
    expect_equal(gradients_of(*fused_, batch), first);
  }
}

TEST_P(Fused, TwoGraphsLiveSideBySide) {
  at::manual_seed(9);
  const Shape shape{4, 3, 9, 21};
  make(shape);
  const auto one = random_batch(shape);
  const auto two = random_batch(shape);
  (plain_->loss(one, plain_->begin_state(shape.B)).first +
   plain_->loss(two, plain_->begin_state(shape.B)).first)
      .backward();
  (fused_->loss(one, fused_->begin_state(shape.B)).first +
   fused_->loss(two, fused_->begin_state(shape.B)).first)
      .backward();
  expect_same_gradients(kTolerance);
}

TEST_P(Fused, AGraphIsDifferentiatedOnce) {
  const Shape shape{2, 3, 5, 7};
  make(shape);
  const auto loss = fused_->loss(random_batch(shape), fused_->begin_state(shape.B)).first;
  loss.backward({}, /*retain_graph=*/true);
  EXPECT_THROW(loss.backward(), Error);
}

TEST_P(Fused, SecondDerivativesAreRefused) {
  const Shape shape{2, 3, 5, 7};
  make(shape);
  const auto loss = fused_->loss(random_batch(shape), fused_->begin_state(shape.B)).first;
  EXPECT_THROW(loss.backward({}, /*retain_graph=*/true, /*create_graph=*/true), Error);
}

TEST_P(Fused, LogitsAreFloat32WhateverTheDefaultType) {
  const Shape shape{2, 3, 5, 7};
  make(shape);
  const auto batch = random_batch(shape);
  const auto state = fused_->begin_state(shape.B);
  torch::set_default_dtype(torch::scalarTypeToTypeMeta(torch::kFloat64));
  const auto logits = fused_->forward(batch.X, state).first;
  torch::set_default_dtype(torch::scalarTypeToTypeMeta(torch::kFloat32));
  EXPECT_EQ(logits.scalar_type(), torch::kFloat32);
}

using FusedInBf16 = Fused;

TEST_P(FusedInBf16, LossStatesAndGradientsAreNearThePlainModels) {
  at::manual_seed(11);
  for (const auto precision : {Precision::kBf16x3, Precision::kBf16}) {
    auto weights = make_model(GetParam(), 28, torch::kCPU);
    if (!is_supported(precision)) {
      EXPECT_THAT(thrown<Error>([&] {
                    computed_as(std::move(weights), GetParam(), {.precision = precision});
                  }),
                  ::testing::HasSubstr("needs a CPU with AMX"));
      continue;
    }
    for (const auto& shape : {Shape{1, 1, 1, 1}, Shape{1, 7, 28, 40}, Shape{32, 5, 28, 64},
                              Shape{50, 3, 150, 33}, Shape{16, 2, 17, 131}}) {
      SCOPED_TRACE(formatted("{}, {}", to_string(precision), to_text(shape)));
      make(shape, precision);
      const auto batch = random_batch(shape);
      const auto [loss, after] = plain_->loss(batch, plain_->begin_state(shape.B));
      const auto [fused_loss, fused_after] = fused_->loss(batch, fused_->begin_state(shape.B));
      EXPECT_NEAR(fused_loss.item<double>(), loss.item<double>(), tolerance_of(precision));
      for (std::size_t i = 0; i < after.size(); ++i) {
        EXPECT_LT(distance(fused_after[i], after[i]), tolerance_of(precision)) << "state " << i;
      }
      loss.backward();
      fused_loss.backward();
      expect_same_gradients(tolerance_of(precision));
    }
  }
}

TEST_P(FusedInBf16, ResultsAreTheSameBitsWhateverTheNumberOfThreads) {
  if (!is_supported(Precision::kBf16)) {
    GTEST_SKIP() << "this CPU has no AMX";
  }
  at::manual_seed(5);
  for (const auto precision : {Precision::kBf16x3, Precision::kBf16}) {
    // Shared out by tiles of 16 sequences, and by units; so long that the gradients go in blocks of
    // depth on one thread.
    for (const auto& shape :
         {Shape{96, 4, 28, 130}, Shape{20, 4, 30, 280}, Shape{20, 20, 28, 130}}) {
      SCOPED_TRACE(formatted("{}, {}", to_string(precision), to_text(shape)));
      make(shape, precision);
      expect_same_bits_whatever_the_threads(random_batch(shape));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FusedInBf16, ::testing::ValuesIn(models(40)),
                         [](const auto& info) { return name_of(info.param); });

INSTANTIATE_TEST_SUITE_P(Models, Fused, ::testing::ValuesIn(models(8)),
                         [](const auto& info) { return name_of(info.param); });

TEST(ComputedModel, TheMlpIsComputedPlainOrNotAtAll) {
  const auto mlp = plain(ModelKind::kScratch, Cell::kMlp, 4);
  EXPECT_THROW(computed_as(make_model(mlp, 5, torch::kCPU), mlp, {.backend = Backend::kFused}),
               UsageError);
  const auto net = computed_as(make_model(mlp, 5, torch::kCPU), mlp, {});
  EXPECT_EQ(net->effective_compute(1).backend, Backend::kPlain);
}

}  // namespace
}  // namespace unroll

#include "fused/computed_model.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <memory>
#include <random>
#include <vector>

#include "base/formatted.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/periodic_corpus.h"
#include "support/random_values.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/train.h"

namespace unroll {
namespace {

std::string to_text(const Shape& shape) {
  return formatted("B {} T {} V {} H {}", shape.B, shape.T, shape.V, shape.H);
}

State random_state(const SequenceModel& net, int64_t B) {
  auto state = net.begin_state(B);
  for (auto& s : state) {
    s = (torch::randn_like(s) * 0.5).requires_grad_();
  }
  return state;
}

// Those that the fused backend computes.
std::vector<TestModel> models(int64_t hidden) {
  auto result = plain_recurrent_models(hidden);
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    result.push_back(plain(ModelKind::kConcise, cell, hidden));
    result.back().layers = 3;
  }
  return result;
}

class Fused : public ::testing::TestWithParam<TestModel> {
 protected:
  // A model computed plain, and one with the same weights computed fused.
  std::unique_ptr<SequenceModel> plain_;
  std::unique_ptr<SequenceModel> fused_;

  void make(const Shape& shape, Precision precision = Precision::kFp32) {
    auto model = GetParam();
    model.hidden = shape.H;
    plain_ = make_model(model, shape.V, torch::kCPU);
    draw_weights(*plain_);
    auto other = make_model(model, shape.V, torch::kCPU);
    load_weights(*other, plain_->weights());
    const Compute compute{.backend = Backend::kFused, .precision = precision};
    fused_ = computed_as(std::move(other), model, compute);
    ASSERT_EQ(fused_->effective_compute(shape.B).backend, Backend::kFused);
    ASSERT_EQ(plain_->effective_compute(shape.B).backend, Backend::kPlain);
  }

  // The fused model's loss, state and gradients on so many threads.
  std::vector<torch::Tensor> results(const Batch& batch, int threads) {
    const int before = torch::get_num_threads();
    torch::set_num_threads(threads);
    for (const auto& [name, weight] : fused_->weights()) {
      weight.mutable_grad().reset();
    }
    at::manual_seed(17);
    const auto [loss, after] = fused_->loss(batch, fused_->begin_state(batch.X.size(0)));
    loss.backward();
    torch::set_num_threads(before);
    std::vector<torch::Tensor> result{loss.detach(), after[0].detach()};
    for (const auto& [name, weight] : fused_->weights()) {
      result.push_back(weight.grad());
    }
    return result;
  }

  void expect_same_bits_whatever_the_threads(const Batch& batch) {
    const auto one = results(batch, 1);
    for (const int threads : {2, 3}) {
      const auto more = results(batch, threads);
      for (std::size_t i = 0; i < one.size(); ++i) {
        EXPECT_TRUE(torch::equal(more[i], one[i])) << threads << " threads, tensor " << i;
      }
    }
  }

  void expect_same_gradients(double tolerance) const {
    const auto expected = plain_->weights();
    const auto actual = fused_->weights();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LT(distance(actual[i].tensor.grad(), expected[i].tensor.grad()), tolerance)
          << expected[i].name;
    }
  }

  // What `use` returns where it draws what every other one does; also how far it drew.
  template <typename Use>
  static auto drawn(const Use& use) {
    auto generator = at::globalContext().defaultGenerator(torch::kCPU);
    const auto before = generator.get_state();
    at::manual_seed(23);
    auto result = use();
    const auto next = torch::rand({1}).item<float>();
    generator.set_state(before);
    return std::pair(std::move(result), next);
  }

  // The plain model's and the fused one's loss, states after the batch and gradients. The states
  // take part in the gradient, as where a sequence goes on.
  void expect_the_same(const Shape& shape, double loss_tolerance, double tolerance) {
    const auto batch = random_batch(shape);
    const auto state = random_state(*plain_, shape.B);
    State fused_state;
    for (const auto& s : state) {
      fused_state.push_back(s.detach().clone().requires_grad_());
    }
    const auto [expected, drew] = drawn([&] { return plain_->loss(batch, state); });
    const auto [actual, fused_drew] = drawn([&] { return fused_->loss(batch, fused_state); });
    EXPECT_EQ(fused_drew, drew);
    const auto loss = expected.first.item<double>();
    EXPECT_NEAR(actual.first.item<double>(), loss, loss_tolerance * (1 + loss));
    auto total = expected.first;
    auto fused_total = actual.first;
    for (std::size_t i = 0; i < state.size(); ++i) {
      EXPECT_LT(distance(actual.second[i], expected.second[i]), tolerance) << "state " << i;
      total = total + 0.1 * expected.second[i].square().sum();
      fused_total = fused_total + 0.1 * actual.second[i].square().sum();
    }
    total.backward();
    fused_total.backward();
    expect_same_gradients(tolerance);
    for (std::size_t i = 0; i < state.size(); ++i) {
      EXPECT_LT(distance(fused_state[i].grad(), state[i].grad()), tolerance) << "state " << i;
    }
  }
};

// Of the float32 sums themselves; the bound.
constexpr double kTolerance = 1e-5;

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
  // units make a step of every cell worth it.
  for (const auto& shape : {Shape{32, 6, 28, 130}, Shape{7, 4, 30, 280}}) {
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

TEST_P(Fused, ATokenOutsideTheVocabularyIsAnError) {
  const Shape shape{2, 3, 5, 7};
  make(shape);
  auto batch = random_batch(shape);
  batch.X[0][0] = 5;
  EXPECT_EQ(thrown<Error>([&] { fused_->forward(batch.X, fused_->begin_state(shape.B)); }),
            "a token must be in [0, 5), got 5");
}

TEST_P(Fused, ShapesThatDoNotFitAreErrors) {
  const Shape shape{2, 3, 5, 7};
  make(shape);
  const auto batch = random_batch(shape);
  EXPECT_THAT(thrown<Error>([&] { fused_->loss(batch, fused_->begin_state(3)); }),
              ::testing::HasSubstr("a state must have shape"));
  const Batch short_labels{batch.X, batch.Y.narrow(1, 0, 2)};
  EXPECT_THAT(thrown<Error>([&] { fused_->loss(short_labels, fused_->begin_state(2)); }),
              ::testing::HasSubstr("the labels, by step, must have shape [3, 2], got [2, 2]"));
}

TEST_P(Fused, WhatIsMissingOrEmptyIsAnError) {
  make({2, 3, 5, 7});
  const auto batch = random_batch({2, 3, 5, 7});
  auto state = fused_->begin_state(2);
  state.push_back(state[0]);
  EXPECT_THROW(fused_->loss(batch, state), Error);
  EXPECT_THROW(fused_->loss(batch, {}), Error);
  for (const auto& empty : {Shape{0, 3, 5, 7}, Shape{2, 0, 5, 7}}) {
    EXPECT_THAT(
        thrown<Error>([&] { fused_->loss(random_batch(empty), fused_->begin_state(empty.B)); }),
        ::testing::HasSubstr("at least 1 sequence of 1 step"));
  }
  EXPECT_THAT(
      thrown<Error>([&] { fused_->forward(batch.X.to(torch::kFloat32), fused_->begin_state(2)); }),
      ::testing::HasSubstr("int64"));
}

TEST_P(Fused, ADecoderTakesATokenOfEachSequence) {
  make({2, 3, 5, 7});
  for (auto* net : {plain_.get(), fused_.get()}) {
    const auto decoder = net->make_decoder(2);
    const std::vector<int64_t> three{0, 1, 2};
    EXPECT_EQ(thrown<Error>([&] { decoder->step(three); }), "a step takes 2 tokens, got 3");
    const std::vector<int64_t> one{0};
    EXPECT_EQ(thrown<Error>([&] { decoder->step(one); }), "a step takes 2 tokens, got 1");
  }
}

TEST_P(Fused, ADescriptionOfAnotherModelIsAnError) {
  auto model = GetParam();
  model.hidden = 8;
  const auto refused = [&](auto change) {
    auto other = model;
    change(other);
    EXPECT_THROW(
        computed_as(make_model(model, 5, torch::kCPU), other, {.backend = Backend::kFused}), Error);
  };
  refused([](auto& other) { other.hidden = 9; });
  if (model.model == ModelKind::kConcise) {
    refused([](auto& other) { ++other.layers; });
  } else {
    refused([](auto& other) {
      other.cell = other.cell == Cell::kLstm ? Cell::kRnn : Cell::kLstm;
      other.gru_reset.reset();
    });
  }
}

// What a precision is held to, as norm of the difference over norm.
double tolerance_of(Precision precision) { return precision == Precision::kBf16 ? 2e-2 : 1e-4; }

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

// Between two layers and between three.
std::vector<TestModel> models_with_dropout(int64_t hidden) {
  std::vector<TestModel> result;
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    for (const int64_t layers : {2, 3}) {
      result.push_back(plain(ModelKind::kConcise, cell, hidden));
      result.back().layers = layers;
      result.back().dropout = 0.3;
    }
  }
  return result;
}

using FusedWithDropout = Fused;

TEST_P(FusedWithDropout, DropsWhatThePlainModelDrops) {
  at::manual_seed(12);
  for (const auto& shape : {Shape{1, 1, 1, 1}, Shape{1, 5, 3, 16}, Shape{2, 3, 70, 65},
                            Shape{33, 6, 28, 131}, Shape{32, 35, 28, 64}}) {
    SCOPED_TRACE(to_text(shape));
    make(shape);
    expect_the_same(shape, 2e-6, kTolerance);
  }
}

TEST_P(FusedWithDropout, InBf16Too) {
  at::manual_seed(12);
  for (const auto precision : {Precision::kBf16x3, Precision::kBf16}) {
    if (!is_supported(precision)) {
      GTEST_SKIP() << "this CPU has no AMX";
    }
    for (const auto& shape : {Shape{1, 7, 28, 40}, Shape{50, 3, 150, 33}, Shape{32, 5, 28, 64}}) {
      SCOPED_TRACE(formatted("{}, {}", to_string(precision), to_text(shape)));
      make(shape, precision);
      expect_the_same(shape, tolerance_of(precision), tolerance_of(precision));
    }
  }
}

TEST_P(FusedWithDropout, ResultsAreTheSameBitsWhateverTheNumberOfThreads) {
  at::manual_seed(5);
  for (const auto precision : {Precision::kFp32, Precision::kBf16x3, Precision::kBf16}) {
    for (const auto& shape : {Shape{32, 6, 28, 130}, Shape{7, 4, 30, 280}}) {
      if (is_supported(precision)) {
        SCOPED_TRACE(formatted("{}, {}", to_string(precision), to_text(shape)));
        make(shape, precision);
        expect_same_bits_whatever_the_threads(random_batch(shape));
      }
    }
  }
}

TEST_P(FusedWithDropout, TwoGraphsLiveSideBySide) {
  at::manual_seed(9);
  const Shape shape{4, 3, 9, 21};
  make(shape);
  const auto one = random_batch(shape);
  const auto two = random_batch(shape);
  for (auto* net : {plain_.get(), fused_.get()}) {
    at::manual_seed(23);
    (net->loss(one, net->begin_state(shape.B)).first +
     net->loss(two, net->begin_state(shape.B)).first)
        .backward();
  }
  expect_same_gradients(kTolerance);
}

TEST_P(FusedWithDropout, DoublePrecisionIsThePlainModelsDropout) {
  at::manual_seed(6);
  const Shape shape{2, 3, 5, 7};
  make(shape);
  const auto batch = random_batch(shape);
  std::vector<torch::Tensor> logits;
  for (auto* net : {plain_.get(), fused_.get()}) {
    for (const auto& [name, weight] : net->weights()) {
      weight.set_data(weight.to(torch::kFloat64));
    }
    State state;
    for (const auto& s : plain_->begin_state(shape.B)) {
      state.push_back(s.to(torch::kFloat64));
    }
    at::manual_seed(23);
    logits.push_back(net->forward(batch.X, state).first);
  }
  EXPECT_TRUE(torch::equal(logits[1], logits[0]));
}

TEST_P(FusedWithDropout, DropsInTrainingAlone) {
  at::manual_seed(14);
  const Shape shape{4, 3, 9, 21};
  make(shape);
  auto model = GetParam();
  model.hidden = shape.H;
  model.dropout = 0;
  const auto whole = make_model(model, shape.V, torch::kCPU);
  load_weights(*whole, plain_->weights());
  const auto batch = random_batch(shape);
  const auto logits_of = [&](SequenceModel& net) {
    return drawn([&] { return net.forward(batch.X, net.begin_state(shape.B)).first.detach(); });
  };
  const auto [expected, drew_nothing] = logits_of(*whole);

  ASSERT_TRUE(fused_->is_training());
  EXPECT_GT(distance(logits_of(*fused_).first, expected), 1e-2);
  const auto decoder = fused_->make_decoder(1);
  for (int64_t t = 0; t < shape.T; ++t) {
    const std::vector token{batch.X[0][t].item<int64_t>()};
    const auto logits = decoder->step(token);
    for (int64_t v = 0; v < shape.V; ++v) {
      EXPECT_NEAR(logits[v], expected[t * shape.B][v].item<float>(), 1e-5);
    }
  }
  {
    const Inference inference(*fused_);
    const auto [logits, drew] = logits_of(*fused_);
    EXPECT_LT(distance(logits, expected), kTolerance);
    EXPECT_EQ(drew, drew_nothing);
  }
  EXPECT_GT(distance(logits_of(*fused_).first, expected), 1e-2);

  // In memory in which there was dropout
  fused_->train(false);
  plain_->train(false);
  plain_->loss(batch, plain_->begin_state(shape.B)).first.backward();
  fused_->loss(batch, fused_->begin_state(shape.B)).first.backward();
  expect_same_gradients(kTolerance);
}

TEST_P(FusedWithDropout, TrainsToThePerplexitiesOfThePlainModel) {
  at::manual_seed(15);
  const auto corpus = periodic_corpus(60);
  const SeqDataLoader train_iter(corpus.indices, {.batch_size = 4, .num_steps = 10});
  make({4, 10, corpus.vocab.size(), 24});
  const auto train = [&](SequenceModel& net) {
    at::manual_seed(23);
    return train_ch8(net, train_iter, corpus.vocab,
                     {.epochs = 6, .updater = {.lr = 0.5}, .prompts = {}});
  };
  const auto expected = train(*plain_);
  const auto actual = train(*fused_);
  ASSERT_EQ(actual.epochs.size(), expected.epochs.size());
  for (std::size_t e = 0; e < expected.epochs.size(); ++e) {
    const double perplexity = expected.epochs[e].perplexity;
    EXPECT_NEAR(actual.epochs[e].perplexity, perplexity, kTolerance * perplexity) << "epoch " << e;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FusedWithDropout, ::testing::ValuesIn(models_with_dropout(8)),
                         [](const auto& info) { return name_of(info.param); });

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

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <thread>
#include <vector>

#include "fused/fused_and_plain.h"
#include "support/periodic_corpus.h"
#include "unroll/error.h"
#include "unroll/train.h"

namespace unroll {
namespace {

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

// A model with a generator of its own, trained; its weights and where the generator stands.
std::vector<torch::Tensor> trained_with_own_generator(SequenceModel& net, const Corpus& corpus) {
  const SeqDataLoader train_iter(corpus.indices, {.batch_size = 2, .num_steps = 5});
  Training training(net, train_iter, corpus.vocab, {.epochs = 3, .every = 0, .prompts = {}});
  training.run();
  auto result = values(net.weights());
  result.push_back(training.state().cpu_generator);
  return result;
}

TEST(OwnGenerator, TwoThreadsThatTrainGiveTheNumbersOfEachAlone) {
  const auto corpus = periodic_corpus(20);
  const auto make = [&](uint64_t seed) {
    at::manual_seed(seed);
    return make_model({.cell = Cell::kGru, .hidden = 8, .layers = 2, .dropout = 0.5},
                      corpus.vocab.size(), torch::kCPU,
                      {.generator = at::make_generator<at::CPUGeneratorImpl>(seed)});
  };
  auto shared = at::globalContext().defaultGenerator(torch::kCPU);
  std::vector<std::vector<torch::Tensor>> expected;
  for (const uint64_t seed : {1, 2}) {
    expected.push_back(trained_with_own_generator(*make(seed), corpus));
  }
  const auto one = make(1);
  const auto two = make(2);
  const auto untouched = shared.get_state();
  std::vector<std::vector<torch::Tensor>> actual(2);
  std::thread first([&] { actual[0] = trained_with_own_generator(*one, corpus); });
  std::thread second([&] { actual[1] = trained_with_own_generator(*two, corpus); });
  first.join();
  second.join();
  for (std::size_t n = 0; n < 2; ++n) {
    for (std::size_t i = 0; i < expected[n].size(); ++i) {
      EXPECT_TRUE(torch::equal(actual[n][i], expected[n][i])) << "model " << n << ", tensor " << i;
    }
  }
  EXPECT_TRUE(torch::equal(shared.get_state(), untouched));
}

TEST(OwnGenerator, IsResumed) {
  const auto corpus = periodic_corpus(20);
  const SeqDataLoader train_iter(corpus.indices, {.batch_size = 2, .num_steps = 5});
  const auto make = [&](uint64_t seed) {
    at::manual_seed(3);
    return make_model({.cell = Cell::kGru, .hidden = 8, .layers = 2, .dropout = 0.5},
                      corpus.vocab.size(), torch::kCPU,
                      {.generator = at::make_generator<at::CPUGeneratorImpl>(seed)});
  };
  TrainOptions options{.epochs = 4, .every = 0, .prompts = {}};
  const auto whole = make(1);
  train_ch8(*whole, train_iter, corpus.vocab, options);
  const auto begun = make(1);
  options.epochs = 2;
  Training first(*begun, train_iter, corpus.vocab, options);
  first.run();
  const auto resumed = make(99);
  load_weights(*resumed, begun->weights());
  options.epochs = 4;
  Training second(*resumed, train_iter, corpus.vocab, options);
  second.load_state(first.state());
  second.run();
  const auto expected = values(whole->weights());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::equal(values(resumed->weights())[i], expected[i])) << "weight " << i;
  }
}

TEST(OwnGenerator, WhatIsComputedPlainCannotDrawFromIt) {
  const ModelConfig config{.cell = Cell::kGru, .hidden = 8, .layers = 2, .dropout = 0.5};
  Compute compute{.generator = at::make_generator<at::CPUGeneratorImpl>(1)};
  const auto net = make_model(config, 5, torch::kCPU, compute);
  EXPECT_EQ(net->effective_compute(1).generator, compute.generator);
  for (const auto& weight : values(net->weights())) {
    weight.set_data(weight.to(torch::kFloat64));
  }
  const auto X = torch::zeros({1, 2}, torch::kInt64);
  EXPECT_THROW(net->forward(X, net->begin_state(1)), Error);
  net->train(false);
  EXPECT_NO_THROW(net->forward(X, net->begin_state(1)));
  compute.backend = Backend::kPlain;
  EXPECT_THROW(make_model(config, 5, torch::kCPU, compute), UsageError);
}

INSTANTIATE_TEST_SUITE_P(Models, FusedWithDropout, ::testing::ValuesIn(models_with_dropout(8)),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll

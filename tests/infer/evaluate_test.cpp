#include "unroll/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kVocabSize = 7;

torch::Tensor random_corpus(int64_t tokens, uint64_t seed) {
  at::manual_seed(seed);
  return torch::randint(kVocabSize, {tokens}, torch::kUInt8);
}

std::unique_ptr<SequenceModel> random_model(const TestModel& model) {
  at::manual_seed(1);
  auto net = make_model(model, kVocabSize, torch::kCPU);
  for (const auto& weight : values(net->weights())) {
    weight.data().normal_(0, 0.5);
  }
  return net;
}

// Predicts by the state alone, which counts the tokens that its row has read: the surprise of a
// token is ln 2 after one token, ln 3 after two, and so on.
class RowCounter : public SequenceModel {
 public:
  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    EXPECT_FALSE(torch::GradMode::is_enabled());
    const int64_t B = X.size(0);
    const int64_t T = X.size(1);
    const auto before = torch::arange(T).unsqueeze(1) + state.at(0).view({1, B});  // (T,B)
    // One of two classes has probability 1 / (2 + before).
    const auto p = (2 + before.flatten()).to(torch::kFloat32).reciprocal();
    return {torch::stack({p, 1 - p}, 1).log(), {state[0] + T}};
  }
  State begin_state(int64_t batch_size) const override {
    return {torch::zeros({batch_size, 1}, torch::kInt64)};
  }
  int64_t vocab_size() const override { return 2; }
  NamedTensors weights() const override { return {}; }
  torch::Device device() const override { return torch::kCPU; }
};

TEST(Evaluate, EveryTokenButTheFirstIsPredictedOnceWhateverTheShape) {
  for (int64_t tokens = 2; tokens <= 14; ++tokens) {
    const auto corpus = torch::zeros({tokens}, torch::kUInt8);
    for (int64_t B = 1; B <= 15; ++B) {
      for (int64_t T = 1; T <= 5; ++T) {
        RowCounter net;
        std::vector<float> surprise(static_cast<std::size_t>(tokens), -1);
        const auto result = evaluate(net, corpus, {.batch_size = B, .num_steps = T},
                                     [&](int64_t first, std::span<const float> nats) {
                                       for (const float n : nats) {
                                         auto& place = surprise.at(static_cast<std::size_t>(first));
                                         EXPECT_EQ(place, -1)
                                             << "token " << first << " comes twice";
                                         place = n;
                                         ++first;
                                       }
                                     });
        const int64_t rows = std::min(B, tokens - 1);
        const int64_t length = (tokens - 1) / rows;
        EXPECT_EQ(surprise[0], -1);
        double sum = 0;
        for (int64_t i = 1; i < tokens; ++i) {
          // The last row goes on where the others end.
          const int64_t row = std::min((i - 1) / length, rows - 1);
          const double expected = std::log(2.0 + static_cast<double>(i - 1 - row * length));
          EXPECT_NEAR(surprise[static_cast<std::size_t>(i)], expected, 1e-5)
              << "token " << i << " of " << tokens << ", B " << B << ", T " << T;
          sum += expected;
        }
        EXPECT_EQ(result.tokens, tokens - 1);
        EXPECT_NEAR(result.nats, sum, 1e-4);
      }
    }
  }
}

class EvaluateEachModel : public ::testing::TestWithParam<TestModel> {};

TEST_P(EvaluateEachModel, EqualsOneForwardOverTheTextAndADirectComputation) {
  const auto net = random_model(GetParam());
  const auto corpus = random_corpus(50, 2);
  const auto X = corpus.slice(0, 0, -1).to(torch::kInt64);
  const auto Y = corpus.slice(0, 1).to(torch::kInt64);
  const auto p = torch::softmax(net->forward(X.unsqueeze(0), net->begin_state(1)).first.detach(), 1,
                                torch::kFloat64);
  double nats = 0;
  for (int64_t i = 0; i < Y.size(0); ++i) {
    nats -= std::log(p[i][Y[i]].item<double>());
  }
  for (const int64_t T : {1, 7, 49, 1000}) {
    const auto result = evaluate(*net, corpus, {.batch_size = 1, .num_steps = T});
    EXPECT_NEAR(result.nats, nats, 1e-5 * nats) << "T " << T;
    EXPECT_NEAR(result.perplexity(), std::exp(nats / 49), 1e-5 * std::exp(nats / 49));
    EXPECT_NEAR(result.bits_per_token(), nats / 49 / std::log(2), 1e-5);
  }
}

TEST_P(EvaluateEachModel, RowsAreTheTextInPiecesThatBeginAnew) {
  const auto net = random_model(GetParam());
  const auto corpus = random_corpus(3 * 16 + 1 + 2, 3);
  // Rows of 16 tokens; the last one has the two that are left over too.
  double nats = 0;
  for (const auto& [first, last] : {std::pair{0, 17}, {16, 33}, {32, 51}}) {
    nats += evaluate(*net, corpus.slice(0, first, last), {.batch_size = 1}).nats;
  }
  for (const int64_t T : {1, 5, 35}) {
    EXPECT_NEAR(evaluate(*net, corpus, {.batch_size = 3, .num_steps = T}).nats, nats, 1e-5 * nats);
  }
}

TEST_P(EvaluateEachModel, RecordsNothing) {
  const auto net = random_model(GetParam());
  evaluate(*net, random_corpus(20, 4), {.batch_size = 2});
  EXPECT_TRUE(torch::GradMode::is_enabled());
  for (const auto& weight : values(net->weights())) {
    EXPECT_FALSE(weight.grad().defined());
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EvaluateEachModel, ::testing::ValuesIn(all_models(8)),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(EvaluateEachModel, ManyTextsAreScoredAsEachByItself) {
  const auto net = random_model(GetParam());
  std::vector<torch::Tensor> texts;
  for (const int64_t tokens : {5, 1, 40, 0, 2, 37, 40, 7}) {
    texts.push_back(random_corpus(tokens, static_cast<uint64_t>(tokens)));
  }
  for (const int64_t B : {1, 3, 32}) {
    const auto results = evaluate_each(*net, texts, {.batch_size = B, .num_steps = 6});
    ASSERT_EQ(results.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(results[i].tokens, std::max<int64_t>(texts[i].numel() - 1, 0));
      if (texts[i].numel() > 1) {
        const auto alone = evaluate(*net, texts[i], {.batch_size = 1});
        EXPECT_NEAR(results[i].nats, alone.nats, 1e-5 * alone.nats) << "text " << i << ", B " << B;
        EXPECT_EQ(results[i].unknown, alone.unknown);
      }
    }
  }
}

TEST(Evaluate, UnknownTokensAreCountedAndLeftOutOnRequest) {
  RowCounter net;
  // Whatever the token, ln 2 after one token, ln 3 after two and so on: of 0, which is unknown.
  const auto result = evaluate(net, torch::tensor({0, 0, 1, 0}));
  EXPECT_EQ(result.tokens, 3);
  EXPECT_EQ(result.unknown, 2);
  EXPECT_NEAR(result.unknown_nats, std::log(2) + std::log(4), 1e-5);
  EXPECT_NEAR(result.known_perplexity(), 1.5, 1e-5);  // 1 has the rest, 2/3
  EXPECT_NEAR(result.perplexity(), std::cbrt(2 * 1.5 * 4), 1e-5);
  EXPECT_TRUE(std::isnan(evaluate(net, torch::tensor({1, 0, 0})).known_perplexity()));
}

TEST(Evaluate, ACertainTokenHasASurpriseOfZeroNotOfMinusZero) {
  class Certain : public RowCounter {
   public:
    std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
      return {torch::tensor({-1000.0F, 0.0F}).repeat({X.numel(), 1}), state};
    }
  };
  Certain net;
  const auto result =
      evaluate(net, torch::ones({5}, torch::kInt64), {}, [](int64_t, std::span<const float> nats) {
        for (const float n : nats) {
          EXPECT_FALSE(std::signbit(n));
        }
      });
  EXPECT_FALSE(std::signbit(result.nats));
  EXPECT_EQ(result.perplexity(), 1);
}

TEST(Evaluate, HowManyRowsThereAreIsTheTextsUnlessGiven) {
  RowCounter net;
  EXPECT_EQ(evaluate(net, torch::ones({100}, torch::kUInt8)).rows, 1);
  EXPECT_EQ(evaluate(net, torch::ones({3 * 4096}, torch::kUInt8)).rows, 3);
  EXPECT_EQ(evaluate(net, torch::ones({5}, torch::kUInt8), {.batch_size = 9}).rows, 4);
}

TEST(Evaluate, TakesEveryIntegerDtype) {
  const auto net = random_model(plain(ModelKind::kScratch, Cell::kRnn, 8));
  const auto corpus = random_corpus(30, 5);
  const double nats = evaluate(*net, corpus).nats;
  for (const auto dtype : {torch::kInt32, torch::kInt64}) {
    EXPECT_EQ(evaluate(*net, corpus.to(dtype)).nats, nats);
  }
}

TEST(Evaluate, WhatIsNoRowOfIntegersIsRefused) {
  RowCounter net;
  EXPECT_EQ(thrown<Error>([&] { evaluate(net, torch::rand({20})); }),
            "a corpus must be a row (N) of uint8 or signed integers, got Float of shape [20]");
}

TEST(Evaluate, OneTokenIsTooShort) {
  const auto net = random_model(plain(ModelKind::kScratch, Cell::kRnn, 8));
  EXPECT_THAT(thrown<Error>([&] { evaluate(*net, random_corpus(1, 0)); }),
              AllOf(HasSubstr("got 1"), HasSubstr("at least 2 tokens")));
  thrown<Error>([&] { evaluate(*net, random_corpus(0, 0)); });
}

TEST(Evaluate, OptionsHaveBounds) {
  const auto net = random_model(plain(ModelKind::kScratch, Cell::kRnn, 8));
  const auto corpus = random_corpus(30, 5);
  EXPECT_THAT(thrown<UsageError>([&] { evaluate(*net, corpus, {.batch_size = 0}); }),
              AllOf(HasSubstr("batch-size"), HasSubstr("got 0")));
  EXPECT_THAT(thrown<UsageError>([&] { evaluate(*net, corpus, {.num_steps = -3}); }),
              AllOf(HasSubstr("num-steps"), HasSubstr("got -3")));
}

TEST(Evaluate, LogitsThatAreNotFiniteNameThePosition) {
  class Broken : public RowCounter {
   public:
    std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
      auto [logits, after] = RowCounter::forward(X, state);
      if (X[0][0].item<int64_t>() == 1) {
        logits[0][1] = NAN;
      }
      return {logits, after};
    }
  };
  Broken net;
  EXPECT_THAT(
      thrown<Error>([&] {
        evaluate(net, torch::tensor({0, 0, 0, 0, 1, 0, 0}), {.batch_size = 1, .num_steps = 2});
      }),
      AllOf(HasSubstr("token 5"), HasSubstr("not finite")));
}

TEST(Evaluate, ShortTextsAreReadInOneRow) {
  EXPECT_EQ(default_batch_size(2), 1);
  EXPECT_EQ(default_batch_size(8191), 1);
  EXPECT_EQ(default_batch_size(8192), 2);
  EXPECT_EQ(default_batch_size(int64_t{1} << 40), 32);
}

}  // namespace
}  // namespace unroll

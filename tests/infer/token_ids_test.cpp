// Sequences that are no text are continued without a vocabulary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "support/fake_models.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;

TEST(TokenIds, ArePredictedFromAPrefixOfThem) {
  Successor net(5);
  EXPECT_THAT(predict_ch8({3, 1}, 4, net), ElementsAre(3, 1, 2, 3, 4, 0));
  EXPECT_THAT(net.fed, ElementsAre(3, 1, 2, 3, 4));
  EXPECT_THAT(predict_ch8({2}, 0, net), ElementsAre(2));
}

TEST(TokenIds, AreThoseOfTheSameText) {
  const auto vocab = Vocab::from_tokens({"<unk>", "a", "b", "c", "d", "e"}, TokenKind::kChar);
  at::manual_seed(0);
  for (const auto& model : all_models(16)) {
    const auto net = make_model(model, vocab.size(), torch::kCPU);
    for (const double temperature : {0.0, 1.0}) {
      const GenerateOptions options{.temperature = temperature, .seed = 3, .take_unk = true};
      const auto ids = generate({{1, 2, 3}, {4}}, 20, *net, options);
      std::vector<std::string> texts(ids.size());
      for (std::size_t i = 0; i < ids.size(); ++i) {
        for (const int64_t id : ids[i]) {
          texts[i] += vocab.to_token(id);
        }
      }
      EXPECT_EQ(texts, generate({"abc", "d"}, 20, *net, vocab, options)) << name_of(model);
    }
  }
}

TEST(TokenIds, EachOfThemMayBeTaken) {
  Constant net({2, 1});
  EXPECT_THAT(generate({{1}, {0, 1}}, 2, net),
              ElementsAre(ElementsAre(1, 0, 0), ElementsAre(0, 1, 0, 0)));
  // Only where nothing may be repeated does a sequence end early: 0 0, 0 1, 1 0 and 1 1 occur once.
  EXPECT_THAT(generate({{0}}, 9, net, {.no_repeat_ngram = 2}),
              ElementsAre(ElementsAre(0, 0, 1, 0)));
}

TEST(TokenIds, ComeWithTheirSurprise) {
  Constant net({0, 0, std::log(2.0F)});
  std::vector<int64_t> tokens;
  generate({{0}}, 2, net, {}, [&](std::size_t sequence, int64_t token, double nats) {
    EXPECT_EQ(sequence, 0);
    EXPECT_NEAR(nats, std::log(2), 1e-6);
    tokens.push_back(token);
  });
  EXPECT_THAT(tokens, ElementsAre(2, 2));
}

TEST(TokenIds, ThatCannotBeContinuedAreRefused) {
  Successor net(5);
  EXPECT_EQ(thrown<UsageError>([&] { predict_ch8(std::vector<int64_t>{}, 3, net); }),
            "a prefix must have at least one token, got none");
  EXPECT_EQ(thrown<Error>([&] {
              predict_ch8({1, 5}, 3, net);
            }),
            "a token must be in [0, 5), got 5");
  EXPECT_EQ(thrown<UsageError>([&] { predict_ch8({1}, -1, net); }),
            "tokens to predict must be >= 0, got -1");
  EXPECT_EQ(thrown<UsageError>([&] { generate({{1}}, 3, net, {.stop = {"ab"}}); }),
            "a stop string needs a vocabulary, got 'ab'");
}

}  // namespace
}  // namespace unroll

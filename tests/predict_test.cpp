#include "unroll/predict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model_configs.h"
#include "thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Vocab kLetters = Vocab::from_tokens({"<unk>", "a", "b", "c", "d"}, TokenKind::kChar);

// Says that each token is followed by the next of the vocabulary, and keeps what it was fed.
class Successor : public SequenceModel {
 public:
  explicit Successor(int64_t vocab_size) : vocab_size_(vocab_size) {}

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    EXPECT_EQ(X.sizes(), (std::vector<int64_t>{1, 1}));
    EXPECT_EQ(X.scalar_type(), torch::kInt64);
    EXPECT_FALSE(torch::GradMode::is_enabled());
    EXPECT_EQ(state.at(0).item<int64_t>(), static_cast<int64_t>(fed.size()));
    fed.push_back(X.item<int64_t>());
    return {torch::one_hot((X.flatten() + 1) % vocab_size_, vocab_size_), {state[0] + 1}};
  }
  State begin_state(int64_t batch_size) const override {
    EXPECT_EQ(batch_size, 1);
    return {torch::zeros({}, torch::kInt64)};
  }
  NamedTensors weights() const override { return {}; }
  torch::Device device() const override { return torch::kCPU; }

  std::vector<int64_t> fed;

 private:
  int64_t vocab_size_;
};

TEST(Predict, WarmsUpOnThePrefixThenFeedsBackTheMostLikelyToken) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("ca", 3, net, kLetters), "cabcd");
  // The prefix, then the predictions; the last prediction is never fed.
  EXPECT_THAT(net.fed, ElementsAre(3, 1, 2, 3));
}

TEST(Predict, TakesAPrefixOfOneCharacter) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("b", 2, net, kLetters), "bcd");
  EXPECT_THAT(net.fed, ElementsAre(2, 3));
}

TEST(Predict, NoTokensLeaveThePrefix) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("abc", 0, net, kLetters), "abc");
}

TEST(Predict, UnknownCharactersCountAsUnknown) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("a?", 2, net, kLetters), "a?ab");
  EXPECT_THAT(net.fed, ElementsAre(1, 0, 1));
}

TEST(Predict, WordsAreJoinedBySpaces) {
  const auto words = Vocab::from_tokens({"<unk>", "to", "be", "\n", "or"}, TokenKind::kWord);
  Successor net(words.size());
  EXPECT_EQ(predict_ch8("to", 3, net, words), "to be \nor");
  net.fed.clear();
  EXPECT_EQ(predict_ch8("or to", 1, net, words), "or to be");
}

TEST(Predict, CodePointsAreWhole) {
  const auto vocab = Vocab::from_tokens({"<unk>", "\xc3\xa9", "\xe2\x82\xac"}, TokenKind::kChar);
  Successor net(vocab.size());
  EXPECT_EQ(predict_ch8("\xc3\xa9", 1, net, vocab), "\xc3\xa9\xe2\x82\xac");
}

TEST(Predict, AnEmptyPrefixOrANegativeLengthIsWrongUsage) {
  Successor net(kLetters.size());
  thrown<UsageError>([&] { predict_ch8("", 3, net, kLetters); });
  EXPECT_THAT(thrown<UsageError>([&] { predict_ch8("a", -1, net, kLetters); }), HasSubstr("-1"));
}

TEST(Predict, PromptsAreNormalisedAsTheText) {
  EXPECT_EQ(normalize_prompt("Time Traveller", Normalize::kLetters), "time traveller");
  EXPECT_EQ(normalize_prompt("time ", Normalize::kLetters), "time ");
  EXPECT_EQ(normalize_prompt("Time", Normalize::kNone), "Time");
}

TEST(Predict, PromptsAreCheckedAgainstTheVocabulary) {
  EXPECT_NO_THROW(check_prompt("abc", kLetters));
  EXPECT_THAT(thrown<Error>([] { check_prompt("ab?", kLetters); }),
              AllOf(HasSubstr("'ab?'"), HasSubstr("'?'")));
  thrown<UsageError>([] { check_prompt("", kLetters); });
  thrown<UsageError>([] { check_prompt("  ", Vocab({}, 0, {}, TokenKind::kWord)); });
  thrown<UsageError>([] { check_prompt("a\xff", kLetters); });
}

// Has the same logits for whatever comes, in any batch.
class Constant : public SequenceModel {
 public:
  explicit Constant(const std::vector<float>& logits) : logits_(torch::tensor(logits)) {}

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    return {logits_.expand({X.numel(), -1}).contiguous(), state};
  }
  State begin_state(int64_t batch_size) const override { return {torch::zeros({batch_size})}; }
  NamedTensors weights() const override { return {}; }
  torch::Device device() const override { return torch::kCPU; }

 private:
  torch::Tensor logits_;
};

TEST(Generate, DrawsByTheSoftmaxOfLogitsOverTheTemperature) {
  constexpr int64_t kDraws = 20000;
  const std::vector<float> logits{-1.0F, 0.5F, 101.0F, 100.0F, -INFINITY};
  Constant net(logits);
  for (const double temperature : {0.5, 1.0, 100.0}) {
    const auto text =
        generate({"a"}, kDraws, net, kLetters, {.temperature = temperature, .seed = 3}).front();
    double total = 0;
    for (const float logit : logits) {
      total += std::exp((static_cast<double>(logit) - 101) / temperature);
    }
    for (std::size_t v = 1; v < logits.size(); ++v) {
      const double p = std::exp((static_cast<double>(logits[v]) - 101) / temperature) / total;
      const auto count = std::count(text.begin() + 1, text.end(), kLetters.to_token(v)[0]);
      // Five standard deviations
      EXPECT_NEAR(static_cast<double>(count), kDraws * p,
                  5 * std::sqrt(kDraws * p * (1 - p)) + 1e-9)
          << "token " << v << ", temperature " << temperature;
    }
  }
}

TEST(Generate, TemperatureZeroTakesTheMostLikely) {
  Successor net(kLetters.size());
  EXPECT_THAT(generate({"ca"}, 3, net, kLetters, {}), ElementsAre("cabcd"));
}

TEST(Generate, SamplesDependOnTheSeedAndTheirIndexAlone) {
  at::manual_seed(0);
  const auto net = make_model(all_models(8).front(), kLetters.size(), torch::kCPU);
  const auto sample = [&](std::size_t count, uint64_t seed) {
    return generate(std::vector<std::string>(count, "ab"), 30, *net, kLetters,
                    {.temperature = 1, .seed = seed});
  };
  const auto two = sample(2, 7);
  const auto three = sample(3, 7);
  EXPECT_EQ(three[0], two[0]);
  EXPECT_EQ(three[1], two[1]);
  EXPECT_NE(two[0], two[1]);
  EXPECT_NE(sample(1, 8)[0], two[0]);
  EXPECT_NE(sample(1, 7 + (uint64_t{1} << 32U))[0], two[0]);
}

TEST(Generate, ATemperatureIsFiniteAndNotNegative) {
  Successor net(kLetters.size());
  for (const double temperature : {-0.5, double{INFINITY}, double{NAN}}) {
    EXPECT_THAT(thrown<UsageError>(
                    [&] { generate({"a"}, 1, net, kLetters, {.temperature = temperature}); }),
                HasSubstr("temperature must be"));
  }
}

TEST(Generate, LogitsThatAreNotFiniteAreAnError) {
  for (const float bad : {NAN, INFINITY}) {
    Constant net({0, bad, 0, 0, 0});
    EXPECT_THAT(thrown<Error>([&] { generate({"a"}, 1, net, kLetters, {.temperature = 1}); }),
                HasSubstr("not finite"));
  }
}

class PredictOfEachModel : public ::testing::TestWithParam<ModelConfig> {};

TEST_P(PredictOfEachModel, IsDeterministicAndRecordsNothing) {
  at::manual_seed(0);
  const auto net = make_model(GetParam(), kLetters.size(), torch::kCPU);
  const auto text = predict_ch8("ab", 20, *net, kLetters);
  EXPECT_TRUE(text.starts_with("ab"));
  EXPECT_EQ(predict_ch8("ab", 20, *net, kLetters), text);
  // A shorter continuation is the beginning of a longer one.
  EXPECT_TRUE(text.starts_with(predict_ch8("ab", 7, *net, kLetters)));
  EXPECT_TRUE(torch::GradMode::is_enabled());
  for (const auto& weight : values(net->weights())) {
    EXPECT_FALSE(weight.grad().defined());
  }
}

TEST_P(PredictOfEachModel, EqualsOneForwardOverThePrefix) {
  at::manual_seed(1);
  const auto net = make_model(GetParam(), kLetters.size(), torch::kCPU);
  for (const auto& weight : values(net->weights())) {
    weight.data().normal_();
  }
  const std::string prefix = "abcadbbc";
  std::vector<int64_t> indices;
  for (const char c : prefix) {
    indices.push_back(kLetters[std::string_view(&c, 1)]);
  }
  const auto logits = net->forward(torch::tensor(indices).unsqueeze(0), net->begin_state(1)).first;
  EXPECT_EQ(predict_ch8(prefix, 1, *net, kLetters),
            prefix + kLetters.to_token(logits[-1].argmax().item<int64_t>()));
}

INSTANTIATE_TEST_SUITE_P(Models, PredictOfEachModel, ::testing::ValuesIn(all_models(8)),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll

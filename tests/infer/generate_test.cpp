#include "unroll/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "support/fake_models.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Vocab kLetters = Vocab::from_tokens({"<unk>", "a", "b", "c", "d"}, TokenKind::kChar);

TEST(Generate, DrawsByTheSoftmaxOfLogitsOverTheTemperature) {
  constexpr int64_t kDraws = 20000;
  const std::vector<float> logits{-1.0F, 0.5F, 101.0F, 100.0F, -INFINITY};
  Constant net(logits);
  for (const double temperature : {0.5, 1.0, 100.0}) {
    const auto text =
        generate({"a"}, kDraws, net, kLetters, {.temperature = temperature, .seed = 3}).front();
    double total = 0;
    for (std::size_t v = 1; v < logits.size(); ++v) {  // never <unk>
      total += std::exp((static_cast<double>(logits[v]) - 101) / temperature);
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

TEST(Generate, DrawsAreTheSameOnEveryMachine) {
  Constant net({-INFINITY, 0, 1, 0.5F, -1});
  EXPECT_THAT(generate({"a", "a"}, 24, net, kLetters, {.temperature = 1, .seed = 7}),
              ElementsAre("abbbbadcbbbababbbabcbbcaa", "abcacbbcbbbbcbcbbbcbaabcb"));
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

// The tokens that 2000 draws come to.
std::string drawn(const std::vector<float>& logits, GenerateOptions options) {
  Constant net(logits);
  const auto text = generate({"a"}, 2000, net, kLetters, options).front().substr(1);
  const std::set<char> letters(text.begin(), text.end());
  return {letters.begin(), letters.end()};
}

std::vector<float> logs(const std::vector<float>& probabilities) {
  std::vector<float> logits;
  for (const float p : probabilities) {
    logits.push_back(std::log(p));
  }
  return logits;
}

TEST(Generate, TopKDrawsAmongTheLikeliest) {
  const auto logits = logs({0.01F, 0.2F, 0.4F, 0.09F, 0.3F});
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_k = 1}), "b");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_k = 2}), "bd");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_k = 3}), "abd");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_k = 100}), "abcd");
}

TEST(Generate, TopPDrawsFromTheFewestTokensThatReachIt) {
  const auto logits = logs({0, 0.25F, 0.5F, 0.0625F, 0.1875F});
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 1e-9}), "b");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 0.49}), "b");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 0.51}), "ab");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 0.74}), "ab");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 0.76}), "abd");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 0.99}), "abcd");
}

TEST(Generate, TheNucleusIsThatOfTheTemperature) {
  // Squared, 1/2 : 1/4 : 1/4 is 2/3 : 1/6 : 1/6.
  const auto logits = logs({0, 0.5F, 0.25F, 0.25F, 0});
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 0.6}), "ab");
  EXPECT_EQ(drawn(logits, {.temperature = 0.5, .top_p = 0.6}), "a");
}

TEST(Generate, TheNucleusIsThatOfTheTopK) {
  // Of a and b alone, a has 2/3.
  const auto logits = logs({0, 0.4F, 0.2F, 0.2F, 0.2F});
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_k = 2, .top_p = 0.6}), "a");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 0.6}), "ab");
}

TEST(Generate, WhatIsKeptIsDrawnByItsProbability) {
  constexpr int64_t kDraws = 20000;
  Constant net(logs({0.3F, 0.1F, 0.3F, 0.2F, 0.1F}));
  const auto text =
      generate({"a"}, kDraws, net, kLetters, {.temperature = 1, .seed = 1, .top_k = 2}).front();
  const auto count = static_cast<double>(std::count(text.begin(), text.end(), 'b'));
  EXPECT_NEAR(count, kDraws * 0.6, 5 * std::sqrt(kDraws * 0.6 * 0.4));
}

TEST(Generate, UnkIsNeverText) {
  const std::vector<float> logits{100, 0, 1, 0, -INFINITY};
  Constant net(logits);
  EXPECT_THAT(generate({"a"}, 2, net, kLetters, {}), ElementsAre("abb"));
  EXPECT_EQ(drawn(logits, {.temperature = 1}), "abc");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_k = 1}), "b");
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = 0.1}), "b");
  // However unlikely the others are
  EXPECT_EQ(drawn({1e30F, 0, 1, 0, 0}, {.temperature = 1}), "abcd");
}

TEST(Generate, UnkMayBeTakenOnRequest) {
  Constant net({2, 0, 1, 0, 0});
  EXPECT_THAT(generate({"a"}, 1, net, kLetters, {.take_unk = true}), ElementsAre("a<unk>"));
}

TEST(Generate, ATextEndsWhereNoTokenIsLeft) {
  Constant net({0, -INFINITY, -INFINITY, -INFINITY, -INFINITY});
  for (const double temperature : {0, 1}) {
    EXPECT_THAT(generate({"a", "ab"}, 5, net, kLetters, {.temperature = temperature}),
                ElementsAre("a", "ab"));
  }
}

TEST(Generate, NoNGramIsRepeated) {
  Constant net({9, 0.3F, 0.2F, 0.1F, 0});
  for (const int64_t n : {1, 2, 3}) {
    for (const double temperature : {0.0, 1.0}) {
      const auto text = generate({"abca"}, 500, net, kLetters,
                                 {.temperature = temperature, .seed = 5, .no_repeat_ngram = n})
                            .front();
      // Only the prefix may have them twice.
      std::set<std::string> seen;
      for (std::size_t i = 0; i + static_cast<std::size_t>(n) <= text.size(); ++i) {
        const bool is_new = seen.insert(text.substr(i, static_cast<std::size_t>(n))).second;
        EXPECT_TRUE(is_new || i + static_cast<std::size_t>(n) <= 4) << text << " at " << i;
      }
      // There are 4^n of them; the text ends where none is left.
      EXPECT_LE(text.size(), std::pow(4, n) + static_cast<double>(n) + 1);
      EXPECT_GT(text.size(), n == 1 ? 4U : 8U);
    }
  }
  EXPECT_THAT(generate({"abca"}, 500, net, kLetters, {.no_repeat_ngram = 1}), ElementsAre("abcad"));
}

TEST(Generate, ATextEndsBeforeTheFirstStopString) {
  const auto generated = [](const std::vector<std::string>& stop) {
    Successor net(kLetters.size());
    return generate({"a"}, 8, net, kLetters, {.stop = stop, .take_unk = true}).front();
  };
  EXPECT_EQ(generated({}), "abcd<unk>abcd");
  EXPECT_EQ(generated({"d"}), "abc");
  EXPECT_EQ(generated({"cd"}), "ab");
  EXPECT_EQ(generated({"dab", "cd"}), "ab");
  EXPECT_EQ(generated({"cdx", "unk"}), "abcd<");
  EXPECT_EQ(generated({"b"}), "a");
  // The prefix is no part of it; nor is what is not complete.
  EXPECT_EQ(generated({"ab", "dd", "cda"}), "abcd<unk>");
  EXPECT_EQ(generated({"cdx"}), "abcd<unk>abcd");
}

TEST(Generate, EachTextOfABatchEndsForItself) {
  const auto net = [] {
    at::manual_seed(0);
    return make_model(all_models(8).front(), kLetters.size(), torch::kCPU);
  }();
  const std::vector<std::string> prefixes(6, "ab");
  const GenerateOptions free{.temperature = 1, .seed = 7};
  auto stopped = free;
  stopped.stop = {"dc"};
  const auto all = generate(prefixes, 30, *net, kLetters, free);
  const auto cut = generate(prefixes, 30, *net, kLetters, stopped);
  std::set<std::size_t> sizes;
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(cut[i], all[i].substr(0, all[i].find("dc", 2)));
    sizes.insert(cut[i].size());
  }
  EXPECT_GT(sizes.size(), 2U);
}

TEST(Generate, ThePiecesAreTheContinuationAndNothingIsTakenBack) {
  at::manual_seed(0);
  const auto net = make_model(all_models(8).front(), kLetters.size(), torch::kCPU);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const auto& stop : std::vector<std::vector<std::string>>{{}, {"abb", "dc"}, {"aaaa"}}) {
      std::vector<std::string> shown{"ab", "d", "cab"};
      const auto prefixes = shown;
      const auto texts =
          generate(prefixes, 20, *net, kLetters, {.temperature = 1, .seed = seed, .stop = stop},
                   [&](std::size_t i, std::string_view piece) {
                     EXPECT_FALSE(piece.empty());
                     shown.at(i) += piece;
                   });
      EXPECT_EQ(shown, texts) << "seed " << seed;
    }
  }
}

TEST(Generate, APieceComesWithItsToken) {
  Successor net(kLetters.size());
  std::vector<std::size_t> fed;
  generate({"a"}, 3, net, kLetters, {}, [&](auto, auto) { fed.push_back(net.fed.size()); });
  EXPECT_THAT(fed, ElementsAre(1, 2, 3));
}

TEST(Generate, EachTokenComesWithItsSurprise) {
  const std::vector<float> logits{-1, 0.5F, 3, 2, -INFINITY};
  Constant net(logits);
  double total = 0;
  for (const float logit : logits) {
    total += std::exp(static_cast<double>(logit));
  }
  for (const double temperature : {0.0, 0.5}) {  // by which it was taken does not count
    std::vector<std::string> taken(2);
    const auto texts =
        generate({"a", "bc"}, 20, net, kLetters, {.temperature = temperature, .top_k = 3}, {},
                 [&](std::size_t sequence, int64_t token, double nats) {
                   taken.at(sequence) += kLetters.to_token(token);
                   const auto logit = logits.at(static_cast<std::size_t>(token));
                   EXPECT_NEAR(nats, std::log(total) - static_cast<double>(logit), 1e-9);
                 });
    EXPECT_THAT(texts, ElementsAre("a" + taken[0], "bc" + taken[1]));
    EXPECT_EQ(texts,
              generate({"a", "bc"}, 20, net, kLetters, {.temperature = temperature, .top_k = 3}));
  }
}

TEST(Generate, WordsStandApartWithinALine) {
  const auto words = Vocab::from_tokens({"<unk>", "one", "two", "\n"}, TokenKind::kWord);
  std::string text;
  for (const std::size_t token : {1, 3, 2}) {
    std::vector<float> logits(4);
    logits[token] = 1;
    Constant net(logits);
    text += generate({"one\ntwo"}, 1, net, words, {}).front() + "|";
  }
  EXPECT_EQ(text, "one\ntwo one|one\ntwo\n|one\ntwo two|");
}

TEST(Generate, OptionsHaveBounds) {
  Successor net(kLetters.size());
  const auto refused = [&](const GenerateOptions& options) {
    return thrown<UsageError>([&] { generate({"a"}, 1, net, kLetters, options); });
  };
  EXPECT_THAT(refused({.top_k = -1}), AllOf(HasSubstr("top-k"), HasSubstr("got -1")));
  for (const double top_p : {0.0, -0.5, 1.5}) {
    EXPECT_THAT(refused({.top_p = top_p}), HasSubstr("top-p must be > 0 and at most 1, got"));
  }
  EXPECT_EQ(refused({.top_p = NAN}), "top-p must be a finite number, got nan");
  EXPECT_THAT(refused({.no_repeat_ngram = -2}),
              AllOf(HasSubstr("no-repeat-ngram"), HasSubstr("got -2")));
  EXPECT_THAT(refused({.stop = {"a", ""}}), HasSubstr("stop string"));
}

}  // namespace
}  // namespace unroll

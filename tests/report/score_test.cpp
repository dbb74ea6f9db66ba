#include "report/score.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numbers>

namespace unroll {
namespace {

TEST(Score, AScoreIsARowOrAJsonObject) {
  const Score line{.result = {.nats = 8 * std::numbers::ln2,
                              .tokens = 4,
                              .unknown_nats = 5 * std::numbers::ln2,
                              .unknown = 1,
                              .rows = 2},
                   .text = "new.txt",
                   .line = 3,
                   .content = "a\tb\x1b"};
  EXPECT_EQ(score_row(line), "4.0000\t5.5452\t4\t1\tnew.txt:3\ta\tb\xe2\x90\x9b");
  const auto json = nlohmann::json::parse(to_json(line));
  EXPECT_EQ(json.at("perplexity"), line.result.perplexity());
  EXPECT_EQ(json.at("known_perplexity"), line.result.known_perplexity());
  EXPECT_EQ(json.at("line"), 3);
  EXPECT_EQ(json.at("content"), "a\tb\x1b");
  const Score nothing{.result = {}, .text = "new.txt"};
  EXPECT_EQ(score_row(nothing), "-\t0.0000\t0\t0\tnew.txt");
  EXPECT_TRUE(nlohmann::json::parse(to_json(nothing)).at("perplexity").is_null());
}

}  // namespace
}  // namespace unroll

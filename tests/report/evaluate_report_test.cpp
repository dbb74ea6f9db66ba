#include "report/evaluate_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numbers>

namespace unroll {
namespace {

EvaluateReport evaluation_of(TokenKind tokens) {
  return {.result = {.nats = 8 * std::numbers::ln2,
                     .tokens = 4,
                     .unknown_nats = 5 * std::numbers::ln2,
                     .unknown = 1,
                     .rows = 2},
          .text = "new.txt",
          .characters = 16,
          .unknown = 1,
          .tokens = tokens,
          .copied = {}};
}

TEST(EvaluateReport, AnEvaluationsSummaryHasItsUnits) {
  EXPECT_EQ(summary(evaluation_of(TokenKind::kChar)),
            "perplexity 4.0000, 2.0000 without the unknown tokens\n1.3863 nats, 2.0000 bits a "
            "token\n0.5000 bits a character\n"
            "4 tokens predicted in 2 rows, 1 of the text unknown\n");
  EXPECT_THAT(summary(evaluation_of(TokenKind::kByte)),
              ::testing::HasSubstr("0.5000 bits a byte\n"));
}

TEST(EvaluateReport, ASummarySaysWhatIsCopiedAndWhence) {
  auto report = evaluation_of(TokenKind::kChar);
  report.copied = {.span = {}, .source = "book.txt", .text = ""};
  EXPECT_THAT(summary(report), ::testing::HasSubstr("nothing is copied from book.txt\n"));
  report.copied = {.span = {.length = 3, .sample_start = 7, .source_start = 9},
                   .source = "book.txt",
                   .text = "e\nt"};
  EXPECT_THAT(summary(report),
              ::testing::HasSubstr(
                  "copied span: 3 tokens, at token 7 here and 9 in book.txt: \"e\\nt\"\n"));
}

TEST(EvaluateReport, AnEvaluationsJsonHasEveryKey) {
  auto report = evaluation_of(TokenKind::kByte);
  nlohmann::json expected{{"perplexity", report.result.perplexity()},
                          {"known_perplexity", report.result.known_perplexity()},
                          {"nats_per_token", report.result.nats_per_token()},
                          {"bits_per_token", report.result.bits_per_token()},
                          {"bits_per_character", 0.5},
                          {"tokens", 4},
                          {"characters", 16},
                          {"unknown", 1},
                          {"batch_size", 2},
                          {"text", "new.txt"}};
  EXPECT_EQ(nlohmann::json::parse(to_json(report)), expected);
  report.copied = {.span = {.length = 3, .sample_start = 7, .source_start = 9},
                   .source = "book.txt",
                   .text = "\xc3"};  // half a character
  expected["copied"] = {{"length", 3},
                        {"text_start", 7},
                        {"source_start", 9},
                        {"source", "book.txt"},
                        {"span", "\xef\xbf\xbd"}};
  EXPECT_EQ(nlohmann::json::parse(to_json(report)), expected);
}

}  // namespace
}  // namespace unroll

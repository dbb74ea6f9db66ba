#include "report/train_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "report/train_result.h"

namespace unroll {
namespace {

TrainReport report_of(const TrainResult& result) {
  return {.result = result,
          .config = {.cell = Cell::kGru, .hidden = 8},
          .effective = {.backend = Backend::kFused, .precision = Precision::kBf16},
          .device = "cpu",
          .vocab_size = 28,
          .tokens = 10000,
          .threads = 2};
}

TEST(TrainReport, SummaryIsTheNotebooksLine) {
  EXPECT_EQ(summary(report_of(result_of({3, 1.04}))), "perplexity 1.0, 2000.0 tokens/s on cpu");
}

TEST(TrainReport, SummaryTellsOfTheValidation) {
  auto result = result_of({3, 2});
  result.epochs[0].valid_perplexity = 5.5;
  result.best = {.perplexity = 5.25, .epoch = 1};
  result.stopped_early = true;
  EXPECT_THAT(summary(report_of(result)),
              ::testing::HasSubstr(
                  "\nvalidation perplexity 5.50, at best 5.25 after epoch 1; stopped early"));
}

TEST(TrainReport, JsonHasEveryKeyInFullPrecision) {
  const double perplexity = 1.0 / 3 + 1;
  const auto json = nlohmann::json::parse(to_json(report_of(result_of({3, 2, perplexity}))));
  EXPECT_EQ(json, nlohmann::json({{"perplexity", perplexity},
                                  {"tokens_per_second", 2000.0},
                                  {"device", "cpu"},
                                  {"epochs", 3},
                                  {"predictions", {"time \"traveller\"", "caf\xc3\xa9"}},
                                  {"vocab_size", 28},
                                  {"tokens", 10000},
                                  {"unknown", 0},
                                  {"seconds", 2.5},
                                  {"threads", 2},
                                  {"ranks", 1},
                                  {"model", "scratch"},
                                  {"compute", "fused"},
                                  {"cell", "gru"},
                                  {"hidden", 8},
                                  {"layers", 1},
                                  {"precision", "bf16"}}));
}

TEST(TrainReport, JsonIsValidWhereAPredictionIsNot) {
  auto result = result_of({2});
  result.predictions = {"\xff\xfe bytes"};
  const auto text = to_json(report_of(result));
  EXPECT_THAT(nlohmann::json::parse(text).at("predictions").at(0).get<std::string>(),
              ::testing::HasSubstr(" bytes"));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(TrainReport, JsonHasTheValidationsWhereThereAreSome) {
  auto result = result_of({3, 2});
  result.epochs[0].valid_perplexity = 3.5;
  result.best = {.perplexity = 3.25, .epoch = 1};
  const auto json = nlohmann::json::parse(to_json(report_of(result)));
  EXPECT_EQ(json.at("valid_perplexity"), 3.5);
  EXPECT_EQ(json.at("best_valid_perplexity"), 3.25);
  EXPECT_EQ(json.at("best_epoch"), 1);
  EXPECT_FALSE(json.contains("valid_known_perplexity"));
  const auto line = nlohmann::json::parse(log_line(result.epochs[0]));
  EXPECT_EQ(line.at("valid_perplexity"), 3.5);
  EXPECT_FALSE(line.contains("skipped"));
}

TEST(TrainReport, AValidationWithUnknownTokensIsAlsoGivenWithoutThem) {
  auto result = result_of({3, 2});
  result.epochs[1].valid_perplexity = 3.5;
  result.epochs[1].valid_known_perplexity = 3.125;
  result.best = {.perplexity = 3.25, .epoch = 1};
  auto report = report_of(result);
  report.valid_tokens = 90;
  report.valid_unknown = 4;
  EXPECT_THAT(summary(report),
              ::testing::HasSubstr(
                  "\nvalidation perplexity 3.12 without the 4 of 90 tokens that are <unk>"));
  const auto json = nlohmann::json::parse(to_json(report));
  EXPECT_EQ(json.at("valid_known_perplexity"), 3.125);
  EXPECT_EQ(json.at("valid_tokens"), 90);
  EXPECT_EQ(json.at("valid_unknown"), 4);
  EXPECT_EQ(nlohmann::json::parse(log_line(result.epochs[1])).at("valid_known_perplexity"), 3.125);
}

TEST(TrainReport, LogLineHasEveryKey) {
  const auto line = log_line(result_of({1.0 / 3}).epochs[0]);
  EXPECT_EQ(nlohmann::json::parse(line), nlohmann::json({{"epoch", 1},
                                                         {"perplexity", 1.0 / 3},
                                                         {"tokens_per_second", 1000.0},
                                                         {"grad_norm", 0.25},
                                                         {"seconds", 0.5},
                                                         {"lr", 0.125}}));
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace unroll

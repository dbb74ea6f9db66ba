#include "study/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numbers>

namespace unroll {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

TrainResult result_of(const std::vector<double>& perplexities) {
  TrainResult result;
  for (const double perplexity : perplexities) {
    const auto epoch = static_cast<int64_t>(result.epochs.size()) + 1;
    result.epochs.push_back({.epoch = epoch,
                             .perplexity = perplexity,
                             .tokens_per_second = 1000.0 * static_cast<double>(epoch),
                             .grad_norm = 0.25,
                             .seconds = 0.5,
                             .lr = 0.125});
  }
  result.predictions = {"time \"traveller\"", "caf\xc3\xa9"};
  result.seconds = 2.5;
  return result;
}

TrainReport report_of(const TrainResult& result) {
  return {.result = result,
          .config = {.cell = Cell::kGru, .hidden = 8},
          .effective = {.backend = Backend::kFused, .precision = Precision::kBf16},
          .device = "cpu",
          .vocab_size = 28,
          .tokens = 10000,
          .threads = 2};
}

TEST(Report, SummaryIsTheNotebooksLine) {
  EXPECT_EQ(summary(report_of(result_of({3, 1.04}))), "perplexity 1.0, 2000.0 tokens/s on cpu");
}

TEST(Report, SummaryTellsOfTheValidation) {
  auto result = result_of({3, 2});
  result.epochs[0].valid_perplexity = 5.5;
  result.best = {.perplexity = 5.25, .epoch = 1};
  result.stopped_early = true;
  EXPECT_THAT(summary(report_of(result)),
              HasSubstr("\nvalidation perplexity 5.50, at best 5.25 after epoch 1; stopped early"));
}

TEST(Report, JsonHasEveryKeyInFullPrecision) {
  const double perplexity = 1.0 / 3 + 1;
  const auto json = Json::parse(to_json(report_of(result_of({3, 2, perplexity}))));
  EXPECT_EQ(json, Json({{"perplexity", perplexity},
                        {"tokens_per_second", 2000.0},
                        {"device", "cpu"},
                        {"epochs", 3},
                        {"predictions", {"time \"traveller\"", "caf\xc3\xa9"}},
                        {"vocab_size", 28},
                        {"tokens", 10000},
                        {"unknown", 0},
                        {"seconds", 2.5},
                        {"threads", 2},
                        {"model", "scratch"},
                        {"compute", "fused"},
                        {"cell", "gru"},
                        {"hidden", 8},
                        {"layers", 1},
                        {"precision", "bf16"}}));
}

TEST(Report, JsonIsValidWhereAPredictionIsNot) {
  auto result = result_of({2});
  result.predictions = {"\xff\xfe bytes"};
  const auto text = to_json(report_of(result));
  EXPECT_THAT(Json::parse(text).at("predictions").at(0).get<std::string>(), HasSubstr(" bytes"));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(Report, JsonHasTheValidationsWhereThereAreSome) {
  auto result = result_of({3, 2});
  result.epochs[0].valid_perplexity = 3.5;
  result.best = {.perplexity = 3.25, .epoch = 1};
  const auto json = Json::parse(to_json(report_of(result)));
  EXPECT_EQ(json.at("valid_perplexity"), 3.5);
  EXPECT_EQ(json.at("best_valid_perplexity"), 3.25);
  EXPECT_EQ(json.at("best_epoch"), 1);
  EXPECT_FALSE(json.contains("valid_known_perplexity"));
  const auto line = Json::parse(log_line(result.epochs[0]));
  EXPECT_EQ(line.at("valid_perplexity"), 3.5);
  EXPECT_FALSE(line.contains("skipped"));
}

TEST(Report, AValidationWithUnknownTokensIsAlsoGivenWithoutThem) {
  auto result = result_of({3, 2});
  result.epochs[1].valid_perplexity = 3.5;
  result.epochs[1].valid_known_perplexity = 3.125;
  result.best = {.perplexity = 3.25, .epoch = 1};
  auto report = report_of(result);
  report.valid_tokens = 90;
  report.valid_unknown = 4;
  EXPECT_THAT(summary(report),
              HasSubstr("\nvalidation perplexity 3.12 without the 4 of 90 tokens that are <unk>"));
  const auto json = Json::parse(to_json(report));
  EXPECT_EQ(json.at("valid_known_perplexity"), 3.125);
  EXPECT_EQ(json.at("valid_tokens"), 90);
  EXPECT_EQ(json.at("valid_unknown"), 4);
  EXPECT_EQ(Json::parse(log_line(result.epochs[1])).at("valid_known_perplexity"), 3.125);
}

TEST(Report, LogLineHasEveryKey) {
  const auto line = log_line(result_of({1.0 / 3}).epochs[0]);
  EXPECT_EQ(Json::parse(line), Json({{"epoch", 1},
                                     {"perplexity", 1.0 / 3},
                                     {"tokens_per_second", 1000.0},
                                     {"grad_norm", 0.25},
                                     {"seconds", 0.5},
                                     {"lr", 0.125}}));
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

Comparison comparison_of(const std::vector<double>& perplexities) {
  Comparison comparison;
  const auto setups = compared_models({.cell = Cell::kLstm, .hidden = 8});
  comparison.models = {
      {setups.at(0), setups.at(0).compute, {}, result_of(perplexities)},
      {setups.at(1), setups.at(1).compute, {1e-7, 2e-7, 3e-8}, result_of(perplexities)},
      {setups.at(2), setups.at(2).compute, {4e-7, 5e-7, 6e-8}, result_of(perplexities)}};
  return comparison;
}

TEST(Report, TableHasDifferencesPerplexitiesSpeedsAndPredictions) {
  const auto text = table(comparison_of({3.25, 2.125}));
  for (const char* expected :
       {"  concise  logits 1.0e-07, states 2.0e-07, gradients 3.0e-08\n",
        "  fused    logits 4.0e-07, states 5.0e-07, gradients 6.0e-08\n", "scratch perplexity",
        "concise perplexity", "fused perplexity", "3.2500", "2.1250", "1500.0",
        "scratch: time \"traveller\"", "concise: caf\xc3\xa9", "fused:   caf\xc3\xa9"}) {
    EXPECT_THAT(text, HasSubstr(expected));
  }
}

TEST(Report, TableOfManyEpochsShowsTheFirstAndTheLastAndFewBetween) {
  std::vector<double> perplexities(500, 2.0);
  perplexities.front() = 24.7586;
  perplexities.back() = 1.0625;
  const auto text = table(comparison_of(perplexities));
  EXPECT_THAT(text, HasSubstr("24.7586"));
  EXPECT_THAT(text, HasSubstr("1.0625"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 30);
}

TEST(Report, ComparisonAsJsonHasAllModels) {
  const auto json = Json::parse(to_json(comparison_of({3, 2})));
  EXPECT_EQ(json.at("differences"),
            Json({{"logits", 1e-7}, {"states", 2e-7}, {"gradients", 3e-8}}));
  EXPECT_EQ(json.at("fused_differences"),
            Json({{"logits", 4e-7}, {"states", 5e-7}, {"gradients", 6e-8}}));
  ASSERT_EQ(json.at("models").size(), 3U);
  EXPECT_EQ(json["models"][0].at("model"), "scratch");
  EXPECT_EQ(json["models"][1].at("model"), "concise");
  EXPECT_EQ(json["models"][2].at("model"), "fused");
  EXPECT_EQ(json["models"][0].at("compute"), "plain");
  EXPECT_EQ(json["models"][1].at("compute"), "plain");
  EXPECT_EQ(json["models"][2].at("compute"), "fused");
  for (const auto& model : json["models"]) {
    EXPECT_EQ(model.at("perplexity_by_epoch"), Json({3.0, 2.0}));
    EXPECT_EQ(model.at("perplexity"), 2.0);
    for (const char* key :
         {"cell", "hidden", "layers", "precision", "tokens_per_second", "seconds", "predictions"}) {
      EXPECT_TRUE(model.contains(key)) << key;
    }
  }
}

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

TEST(Report, AnEvaluationsSummaryHasItsUnits) {
  EXPECT_EQ(summary(evaluation_of(TokenKind::kChar)),
            "perplexity 4.0000, 2.0000 without the unknown tokens\n1.3863 nats, 2.0000 bits a "
            "token\n0.5000 bits a character\n"
            "4 tokens predicted in 2 rows, 1 of the text unknown\n");
  EXPECT_THAT(summary(evaluation_of(TokenKind::kByte)), HasSubstr("0.5000 bits a byte\n"));
}

TEST(Report, ASummarySaysWhatIsCopiedAndWhence) {
  auto report = evaluation_of(TokenKind::kChar);
  report.copied = {.span = {}, .source = "book.txt", .text = ""};
  EXPECT_THAT(summary(report), HasSubstr("nothing is copied from book.txt\n"));
  report.copied = {.span = {.length = 3, .sample_start = 7, .source_start = 9},
                   .source = "book.txt",
                   .text = "e\nt"};
  EXPECT_THAT(summary(report),
              HasSubstr("copied span: 3 tokens, at token 7 here and 9 in book.txt: \"e\\nt\"\n"));
}

TEST(Report, AnEvaluationsJsonHasEveryKey) {
  auto report = evaluation_of(TokenKind::kByte);
  Json expected{{"perplexity", report.result.perplexity()},
                {"known_perplexity", report.result.known_perplexity()},
                {"nats_per_token", report.result.nats_per_token()},
                {"bits_per_token", report.result.bits_per_token()},
                {"bits_per_character", 0.5},
                {"tokens", 4},
                {"characters", 16},
                {"unknown", 1},
                {"batch_size", 2},
                {"text", "new.txt"}};
  EXPECT_EQ(Json::parse(to_json(report)), expected);
  report.copied = {.span = {.length = 3, .sample_start = 7, .source_start = 9},
                   .source = "book.txt",
                   .text = "\xc3"};  // half a character
  expected["copied"] = {{"length", 3},
                        {"text_start", 7},
                        {"source_start", 9},
                        {"source", "book.txt"},
                        {"span", "\xef\xbf\xbd"}};
  EXPECT_EQ(Json::parse(to_json(report)), expected);
}

TEST(Report, AScoreIsARowOrAJsonObject) {
  const Score line{.result = evaluation_of(TokenKind::kChar).result,
                   .text = "new.txt",
                   .line = 3,
                   .content = "a\tb\x1b"};
  EXPECT_EQ(score_row(line), "4.0000\t5.5452\t4\t1\tnew.txt:3\ta\tb\xe2\x90\x9b");
  const auto json = Json::parse(to_json(line));
  EXPECT_EQ(json.at("perplexity"), line.result.perplexity());
  EXPECT_EQ(json.at("known_perplexity"), line.result.known_perplexity());
  EXPECT_EQ(json.at("line"), 3);
  EXPECT_EQ(json.at("content"), "a\tb\x1b");
  const Score nothing{.result = {}, .text = "new.txt"};
  EXPECT_EQ(score_row(nothing), "-\t0.0000\t0\t0\tnew.txt");
  EXPECT_TRUE(Json::parse(to_json(nothing)).at("perplexity").is_null());
}

TEST(Report, AWrittenTextIsAJsonObject) {
  EXPECT_EQ(Json::parse(to_json(GeneratedReport{
                .prompt = "a", .text = "a\n\xc3", .tokens = 4, .nats = 2, .seed = 7, .sample = 1})),
            Json({{"prompt", "a"},
                  {"text", "a\n\xef\xbf\xbd"},
                  {"tokens", 4},
                  {"seed", 7},
                  {"sample", 1},
                  {"nats_per_token", 0.5}}));
}

TEST(Report, ASurpriseIsAJsonObjectWhateverTheToken) {
  EXPECT_EQ(Json::parse(surprise_line(3, "\"\n", 5, 0.5F, TokenKind::kWord)),
            Json({{"position", 3}, {"token", "\"\n"}, {"index", 5}, {"nats", 0.5}}));
  EXPECT_EQ(Json::parse(surprise_line(1, "\xc3", 5, 0.5F, TokenKind::kByte)),
            Json({{"position", 1}, {"token", 0xc3}, {"index", 5}, {"nats", 0.5}}));
  EXPECT_EQ(Json::parse(surprise_line(1, "<unk>", 0, 0.5F, TokenKind::kByte))["token"], "<unk>");
}

}  // namespace
}  // namespace unroll

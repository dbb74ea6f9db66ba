#include "report/compare_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "report/train_result.h"

namespace unroll {
namespace {

Comparison comparison_of(const std::vector<double>& perplexities) {
  Comparison comparison;
  const auto setups = compared_models({.cell = Cell::kLstm, .hidden = 8});
  comparison.models = {
      {setups.at(0), setups.at(0).compute, {}, result_of(perplexities)},
      {setups.at(1), setups.at(1).compute, {1e-7, 2e-7, 3e-8}, result_of(perplexities)},
      {setups.at(2), setups.at(2).compute, {4e-7, 5e-7, 6e-8}, result_of(perplexities)}};
  return comparison;
}

TEST(CompareReport, TableHasDifferencesPerplexitiesSpeedsAndPredictions) {
  const auto text = table(comparison_of({3.25, 2.125}));
  for (const char* expected :
       {"  concise  logits 1.0e-07, states 2.0e-07, gradients 3.0e-08\n",
        "  fused    logits 4.0e-07, states 5.0e-07, gradients 6.0e-08\n", "scratch perplexity",
        "concise perplexity", "fused perplexity", "3.2500", "2.1250", "1500.0",
        "scratch: time \"traveller\"", "concise: caf\xc3\xa9", "fused:   caf\xc3\xa9"}) {
    EXPECT_THAT(text, ::testing::HasSubstr(expected));
  }
}

TEST(CompareReport, TableOfManyEpochsShowsTheFirstAndTheLastAndFewBetween) {
  std::vector<double> perplexities(500, 2.0);
  perplexities.front() = 24.7586;
  perplexities.back() = 1.0625;
  const auto text = table(comparison_of(perplexities));
  EXPECT_THAT(text, ::testing::HasSubstr("24.7586"));
  EXPECT_THAT(text, ::testing::HasSubstr("1.0625"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 30);
}

TEST(CompareReport, ComparisonAsJsonHasAllModels) {
  const auto json = nlohmann::json::parse(to_json(comparison_of({3, 2})));
  EXPECT_EQ(json.at("differences"),
            nlohmann::json({{"logits", 1e-7}, {"states", 2e-7}, {"gradients", 3e-8}}));
  EXPECT_EQ(json.at("fused_differences"),
            nlohmann::json({{"logits", 4e-7}, {"states", 5e-7}, {"gradients", 6e-8}}));
  ASSERT_EQ(json.at("models").size(), 3U);
  EXPECT_EQ(json["models"][0].at("model"), "scratch");
  EXPECT_EQ(json["models"][1].at("model"), "concise");
  EXPECT_EQ(json["models"][2].at("model"), "fused");
  EXPECT_EQ(json["models"][0].at("compute"), "plain");
  EXPECT_EQ(json["models"][1].at("compute"), "plain");
  EXPECT_EQ(json["models"][2].at("compute"), "fused");
  for (const auto& model : json["models"]) {
    EXPECT_EQ(model.at("perplexity_by_epoch"), nlohmann::json({3.0, 2.0}));
    EXPECT_EQ(model.at("perplexity"), 2.0);
    for (const char* key :
         {"cell", "hidden", "layers", "precision", "tokens_per_second", "seconds", "predictions"}) {
      EXPECT_TRUE(model.contains(key)) << key;
    }
  }
}

}  // namespace
}  // namespace unroll

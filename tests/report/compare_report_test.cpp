#include "report/compare_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "report/train_result.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Comparison comparison_of(const std::vector<double>& perplexities) {
  const auto vocab = std::make_shared<const Vocab>(Vocab({{"a", "b"}}));
  Comparison comparison;
  const auto all =
      implementations_of({.setup = {.config = {.cell = Cell::kLstm, .hidden = 8}}, .vocab = vocab});
  const Differences none{.logits = 0, .states = 0, .gradients = {{"W_xh", 0}, {"b_q", 0}}};
  const Differences some{
      .logits = 1e-7, .states = 2e-7, .gradients = {{"W_xh", 3e-8}, {"b_q", 2e-8}}};
  const Differences more{
      .logits = 4e-3, .states = 5e-3, .gradients = {{"W_xh", 6e-4}, {"b_q", 7e-4}}};
  for (std::size_t k = 0; k < all.size(); ++k) {
    comparison.models.push_back({.configuration = all[k],
                                 .effective = all[k].setup.compute,
                                 .parameters = 123,
                                 .at_first = k == 0 ? none : some,
                                 .trained = k == 0 ? none : more,
                                 .peak_bytes = 5 << 20,
                                 .trainings = {{.result = result_of(perplexities)}}});
  }
  return comparison;
}

// A fourth model, of another function and with a wide name.
Comparison with_another(Comparison comparison) {
  auto other = comparison.models[0];
  other.configuration.name = "\xe6\x99\x82";
  other.apart = "cell gru, not lstm";
  other.at_first.reset();
  other.trained.reset();
  comparison.models.push_back(std::move(other));
  return comparison;
}

TEST(CompareReport, TableHasDifferencesPerplexitiesSpeedsAndPredictions) {
  const auto text = table(comparison_of({3.25, 2.125}));
  for (const char* expected :
       {"                  concise  trained    fused  trained\n"
        "logits            1.0e-07  4.0e-03  1.0e-07  4.0e-03\n",
        "gradient of W_xh  3.0e-08  6.0e-04  3.0e-08  6.0e-04\n", "drift apart",
        "epoch  scratch  concise   fused\n    1   3.2500   3.2500  3.2500\n",
        "         perplexity  tokens/s  MiB  parameters\nscratch      2.1250    1500.0    5        "
        " 123\n",
        "scratch: time \"traveller\"\n", "fused:   caf\xc3\xa9\n"}) {
    EXPECT_THAT(text, HasSubstr(expected));
  }
  EXPECT_THAT(text, Not(HasSubstr("spread")));
  EXPECT_THAT(text, Not(HasSubstr("bits/character")));
}

TEST(CompareReport, AnotherFunctionIsSaidToBeOne) {
  const auto text = table(with_another(comparison_of({3, 2})));
  EXPECT_THAT(text,
              HasSubstr("\xe6\x99\x82 is not the same function as scratch: cell gru, not lstm.\n"));
  EXPECT_THAT(text, HasSubstr("\nlogits            1.0e-07  4.0e-03  1.0e-07  4.0e-03\n"));
  EXPECT_THAT(text, HasSubstr("\xe6\x99\x82:      time"));
}

TEST(CompareReport, SeedsHaveAMeanASpreadAndAVerdict) {
  auto comparison = comparison_of({3, 2});
  for (auto& model : comparison.models) {
    model.trainings.push_back({.result = result_of({3, 2.5})});
  }
  comparison.models[2].trainings = {{.result = result_of({5, 4})},
                                    {.result = result_of({5, 4.25})}};
  const auto text = table(comparison);
  EXPECT_THAT(text, HasSubstr("scratch  2.2500 ± 0.3536              -"));
  EXPECT_THAT(text, HasSubstr("concise  2.2500 ± 0.3536             no"));
  EXPECT_THAT(text, HasSubstr("fused    4.1250 ± 0.1768            yes"));
  EXPECT_THAT(text, HasSubstr("over 2 seeds"));
  const auto json = nlohmann::json::parse(to_json(comparison));
  EXPECT_EQ(json["models"][2]["beyond_spread"], true);
  EXPECT_EQ(json["models"][1]["beyond_spread"], false);
  EXPECT_TRUE(json["models"][0]["beyond_spread"].is_null());
  EXPECT_EQ(json["models"][2]["perplexity_by_seed"], nlohmann::json({4.0, 4.25}));
  EXPECT_EQ(json["models"][2]["perplexity_spread"]["mean"], 4.125);
}

TEST(CompareReport, OtherTokensAreComparedByCharacter) {
  auto comparison = with_another(comparison_of({3, 4}));
  auto& other = comparison.models[3].configuration;
  other.vocab = std::make_shared<const Vocab>(Vocab({{"ab", "cd"}}));
  other.characters_per_token = 2;
  const auto text = table(comparison);
  EXPECT_THAT(text, HasSubstr("4.0000          2.0000"));
  EXPECT_THAT(text, HasSubstr("4.0000          1.0000"));
  EXPECT_THAT(text, HasSubstr("bits a character can"));
}

TEST(CompareReport, WhatDivergedHasNoPerplexity) {
  auto comparison = with_another(comparison_of({3, 2}));
  comparison.models[3].trainings[0].diverged = "the loss is not finite";
  comparison.models[2].trainings[0].diverged = "training diverged in epoch 1";
  comparison.models[2].trained.reset();
  const auto text = table(comparison);
  EXPECT_THAT(text, HasSubstr("fused: training diverged in epoch 1.\n"));
  EXPECT_THAT(text, HasSubstr("fused      diverged"));
  EXPECT_THAT(text, HasSubstr("\nlogits            1.0e-07  4.0e-03  1.0e-07        -\n"));
  const auto json = nlohmann::json::parse(to_json(comparison));
  EXPECT_TRUE(json["models"][2]["perplexity"].is_null());
  EXPECT_EQ(json["models"][2]["diverged"], "training diverged in epoch 1");
}

TEST(CompareReport, TableOfManyEpochsShowsTheFirstAndTheLastAndFewBetween) {
  std::vector<double> perplexities(500, 2.0);
  perplexities.front() = 24.7586;
  perplexities.back() = 1.0625;
  const auto text = table(comparison_of(perplexities));
  EXPECT_THAT(text, HasSubstr("24.7586"));
  EXPECT_THAT(text, HasSubstr("1.0625"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 36);
}

TEST(CompareReport, JsonHasAllModels) {
  const auto json = nlohmann::json::parse(to_json(with_another(comparison_of({3, 2}))));
  EXPECT_EQ(json.at("differences"),
            nlohmann::json({{"logits", 1e-7}, {"states", 2e-7}, {"gradients", 3e-8}}));
  EXPECT_EQ(json.at("fused_differences"), json.at("differences"));
  ASSERT_EQ(json.at("models").size(), 4U);
  EXPECT_EQ(json["models"][0].at("model"), "scratch");
  EXPECT_EQ(json["models"][1].at("model"), "concise");
  EXPECT_EQ(json["models"][2].at("model"), "fused");
  EXPECT_EQ(json["models"][0].at("compute"), "plain");
  EXPECT_EQ(json["models"][1].at("compute"), "plain");
  EXPECT_EQ(json["models"][2].at("compute"), "fused");
  EXPECT_EQ(json["models"][2]["differences_trained"]["gradient_by_weight"],
            nlohmann::json({{"W_xh", 6e-4}, {"b_q", 7e-4}}));
  EXPECT_EQ(json["models"][3].at("apart"), "cell gru, not lstm");
  EXPECT_EQ(json["models"][3].at("same_function"), false);
  EXPECT_TRUE(json["models"][3].at("differences").is_null());
  for (const auto& model : json["models"]) {
    EXPECT_EQ(model.at("perplexity_by_epoch"), nlohmann::json({3.0, 2.0}));
    EXPECT_EQ(model.at("perplexity"), 2.0);
    EXPECT_EQ(model.at("parameters"), 123);
    EXPECT_EQ(model.at("peak_bytes"), 5 << 20);
    for (const char* key : {"name", "cell", "hidden", "layers", "precision", "tokens_per_second",
                            "seconds", "predictions"}) {
      EXPECT_TRUE(model.contains(key)) << key;
    }
  }
}

}  // namespace
}  // namespace unroll

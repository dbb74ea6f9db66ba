#include "report/reproduce_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "report/train_result.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The row rnn-concise, published at 1.2 to 1.4, after so many epochs of this last perplexity.
Reproduction row_of(double perplexity, std::size_t epochs = 500) {
  std::vector<double> perplexities(epochs, 2.0);
  perplexities.back() = perplexity;
  return {.published = published_results({"rnn-concise"}).front(),
          .effective = {.backend = Backend::kFused},
          .trainings = {{.result = result_of(perplexities)}}};
}

TEST(ReproduceReport, AResultIsJudgedByItsRange) {
  EXPECT_EQ(row_of(1.2).verdict(), Verdict::kPass);
  EXPECT_EQ(row_of(1.449).verdict(), Verdict::kPass);  // 1.4, to one decimal
  EXPECT_EQ(row_of(1.451).verdict(), Verdict::kFail);
  EXPECT_EQ(row_of(1.151).verdict(), Verdict::kPass);
  EXPECT_EQ(row_of(1.149).verdict(), Verdict::kBetter);
  EXPECT_EQ(row_of(1.5, 499).verdict(), Verdict::kNotYet);
  EXPECT_EQ(row_of(1.4, 499).verdict(), Verdict::kPass);
}

TEST(ReproduceReport, TheMeanOfTheSeedsIsJudged) {
  auto row = row_of(1.7);
  row.trainings.push_back(row_of(1.1).trainings.front());
  EXPECT_EQ(row.verdict(), Verdict::kPass);
  EXPECT_THAT(table({row}), HasSubstr("1.400 ± 0.424"));
  row.trainings.push_back(row_of(1.1, 3).trainings.front());
  EXPECT_EQ(row.epochs(), 3);
}

TEST(ReproduceReport, WhatDivergedFailsWhateverTheEpochs) {
  auto row = row_of(1.3, 10);
  row.trainings[0].diverged = "training diverged in epoch 11";
  EXPECT_EQ(row.verdict(), Verdict::kFail);
  EXPECT_TRUE(has_failed({row_of(1.3), row}));
  EXPECT_THAT(table({row}), HasSubstr("diverged     fail"));
  EXPECT_THAT(table({row}), HasSubstr("rnn-concise: training diverged in epoch 11.\n"));
  EXPECT_TRUE(nlohmann::json::parse(to_json({row}))["rows"][0]["perplexity"].is_null());
}

TEST(ReproduceReport, TableHasPublishedAndOwnResultsSideBySide) {
  const auto text = table({row_of(1.25)});
  EXPECT_THAT(text, HasSubstr("rnn-concise    1.2-1.4  1.250     pass     500  183000 / 294000 / "
                              "404000        250500\n"));
  EXPECT_THAT(text, Not(HasSubstr("better")));
  EXPECT_THAT(text, Not(HasSubstr("not yet")));
  EXPECT_THAT(table({row_of(1), row_of(2, 2)}),
              HasSubstr("better: lower than any published run.\nnot yet:"));
  EXPECT_FALSE(has_failed({row_of(1), row_of(2, 2)}));
}

TEST(ReproduceReport, JsonHasEveryRowInFullPrecision) {
  const auto json = nlohmann::json::parse(to_json({row_of(1.0 / 3 + 1), row_of(9)}));
  EXPECT_EQ(json["passed"], false);
  const auto& row = json["rows"][0];
  EXPECT_EQ(row["name"], "rnn-concise");
  EXPECT_EQ(row["published"]["perplexity"], nlohmann::json({1.2, 1.4}));
  EXPECT_EQ(row["published"]["tokens_per_second"], nlohmann::json({183000.0, 294000.0, 404000.0}));
  EXPECT_EQ(row["perplexity"], 1.0 / 3 + 1);
  EXPECT_EQ(row["perplexity_by_seed"], nlohmann::json({1.0 / 3 + 1}));
  EXPECT_EQ(row["epochs"], 500);
  EXPECT_EQ(row["verdict"], "pass");
  EXPECT_EQ(row["model"], "concise");
  EXPECT_EQ(row["compute"], "fused");
  EXPECT_EQ(json["rows"][1]["verdict"], "fail");
}

}  // namespace
}  // namespace unroll

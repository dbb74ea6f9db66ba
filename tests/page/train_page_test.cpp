#include "page/train_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "page/compare_page.h"
#include "page/evaluate_page.h"
#include "page/reproduce_page.h"
#include "page/running_page.h"
#include "report/train_result.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kHostile = "</script><script>alert(1)</script>\"'&";

TrainPage hostile_page() {
  TrainPage page{.report = {.result = result_of({3, 2.125}),
                            .config = {.cell = Cell::kGru, .hidden = 8},
                            .effective = {.backend = Backend::kFused},
                            .device = "cpu",
                            .vocab_size = 28,
                            .tokens = 10000,
                            .threads = 2},
                 .text = kHostile,
                 .epochs = 5,
                 .clip = 1,
                 .samples = {{1, kHostile}},
                 .written_at = "noon",
                 .provenance = {.command = kHostile, .build = kHostile, .machine = kHostile}};
  page.report.result.predictions = {kHostile};
  return page;
}

// The JSON in the page.
nlohmann::json result_in(const std::string& html) {
  std::smatch match;
  EXPECT_TRUE(std::regex_search(html, match, std::regex("id=\"result\">([^<]*)</script>")));
  return nlohmann::json::parse(match[1].str());
}

// Two scripts, the page's own: its data and its code.
void expect_no_other_script(const std::string& html) {
  const std::regex script("<script");
  EXPECT_EQ(std::distance(std::sregex_iterator(html.begin(), html.end(), script), {}), 2);
  EXPECT_THAT(html, Not(HasSubstr("alert(1)</script>")));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
}

TEST(TrainPage, AHostileTextStaysText) {
  const auto html = to_html(hostile_page());
  expect_no_other_script(html);
  EXPECT_EQ(result_in(html)["predictions"][0], kHostile);
}

TEST(TrainPage, ItsNumbersAreTheJsons) {
  const auto page = hostile_page();
  const auto html = to_html(page);
  EXPECT_EQ(result_in(html), nlohmann::json::parse(to_json(page.report)));
  EXPECT_THAT(html, HasSubstr("<dt>perplexity</dt><dd><data value=\"2.125\">2.12</data></dd>"));
  EXPECT_THAT(html, HasSubstr("clip 1"));
}

TEST(TrainPage, RefreshesItselfOnlyWhileTheTrainingRuns) {
  auto page = hostile_page();
  EXPECT_THAT(to_html(page), HasSubstr("data-refresh="));
  EXPECT_THAT(to_html(page), HasSubstr("Training: 2 of 5 epochs done at noon."));
  page.status = TrainPage::Status::kEnded;
  EXPECT_THAT(to_html(page), Not(HasSubstr("data-refresh=")));
  EXPECT_THAT(to_html(page), Not(HasSubstr("http-equiv=\"refresh\"")));
  EXPECT_THAT(to_html(page), HasSubstr("Trained for 2 epochs."));
  page.status = TrainPage::Status::kStopped;
  page.problem = kHostile;
  EXPECT_THAT(to_html(page), HasSubstr("Stopped after 2 of 5 epochs: &lt;/script"));
}

TEST(TrainPage, AValidationHasACurveAndAColumn) {
  auto page = hostile_page();
  EXPECT_THAT(to_html(page), Not(HasSubstr(">validation<")));
  page.report.result.epochs[1].valid_perplexity = 4.5;
  page.report.result.best = {.perplexity = 4.5, .epoch = 2};
  const auto html = to_html(page);
  EXPECT_THAT(html, HasSubstr("<th scope=\"col\">validation</th>"));
  EXPECT_THAT(html, HasSubstr("<data value=\"4.5\">4.5000</data>"));
}

TEST(TrainPage, BeforeTheFirstEpochThereIsNoPlot) {
  auto page = hostile_page();
  page.report.result = {};
  const auto html = to_html(page);
  EXPECT_THAT(html, HasSubstr("Training: 0 of 5 epochs done at noon."));
  EXPECT_THAT(html, Not(HasSubstr("data-chart=")));
}

TEST(ComparePage, HasCurvesTablesAndTheJson) {
  const auto vocab = std::make_shared<const Vocab>(Vocab({{"a", "b"}}));
  Comparison comparison;
  for (const auto& name : {std::string("first"), std::string(kHostile)}) {
    auto result = result_of({3, 2});
    result.predictions = {kHostile};
    comparison.models.push_back({.configuration = {.name = name, .vocab = vocab},
                                 .at_first = Differences{.gradients = {{"W_xh", 3e-8}}},
                                 .trained = Differences{.gradients = {{"W_xh", 4e-3}}},
                                 .trainings = {{.result = result}}});
  }
  const auto html = to_html(comparison, {});
  expect_no_other_script(html);
  EXPECT_EQ(result_in(html)["models"][1]["name"], kHostile);
  EXPECT_THAT(html,
              HasSubstr("<th scope=\"row\">gradient of W_xh</th><td>3.0e-08</td><td>4.0e-03</td>"));
  EXPECT_THAT(html, HasSubstr("class=\"series s2\""));
  EXPECT_THAT(html, HasSubstr("<b>Gradient norm</b>"));
}

TEST(RunningPage, HasCurvesAndRefreshesItselfWhileTheyAreDrawn) {
  RunningPage page{.title = kHostile,
                   .models = {{kHostile, result_of({9, 7.5}).epochs}, {"second", {}}},
                   .training = kHostile,
                   .done = 2,
                   .epochs = 5,
                   .written_at = "noon",
                   .provenance = {.command = kHostile}};
  const auto html = to_html(page);
  expect_no_other_script(html);
  EXPECT_THAT(html, HasSubstr(": 2 of 5 epochs done at noon."));
  EXPECT_THAT(html, HasSubstr("class=\"series s1\""));
  EXPECT_THAT(html, HasSubstr("data-refresh="));
  page.problem = kHostile;
  expect_no_other_script(to_html(page));
  EXPECT_THAT(to_html(page), HasSubstr("Stopped: &lt;/script"));
  EXPECT_THAT(to_html(page), Not(HasSubstr("data-refresh=")));
}

TEST(ReproducePage, HasTheTableAndTheJson) {
  const auto html =
      to_html(std::vector<Reproduction>{{.published = published_results().front(),
                                         .effective = {},
                                         .trainings = {{.result = result_of({3, 1.1})}}}},
              {.command = kHostile});
  expect_no_other_script(html);
  EXPECT_EQ(result_in(html)["rows"][0]["verdict"], "pass");
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">rnn-scratch</th><td>1.0-1.2</td><td>1.100</td>"));
}

TEST(EvaluatePage, ColoursEachTokenByItsSurprise) {
  const EvaluateReport report{
      .result = {.nats = 4, .tokens = 2, .rows = 1}, .text = kHostile, .characters = 2};
  const auto html = to_html(report,
                            {{"a", std::numeric_limits<double>::quiet_NaN(), "the first"},
                             {"<", 0.5, "0.500 bits"},
                             {"\"", 99, "99.000 bits"}},
                            "", {});
  expect_no_other_script(html);
  EXPECT_THAT(html, HasSubstr("<span class=\"none\" data-value=\"the first\">a</span>"
                              "<span class=\"q0\" data-value=\"0.500 bits\">&lt;</span>"
                              "<span class=\"q8\" data-value=\"99.000 bits\">&quot;</span>"));
  EXPECT_THAT(html, HasSubstr("All 3 tokens"));
  EXPECT_EQ(result_in(html), nlohmann::json::parse(to_json(report)));
}

TEST(ColouredText, ActivationsHaveTwoDirections) {
  const auto html = coloured_text("Unit 1", {{"a", -1, "-1"}, {"b", 0.1, "0.1"}, {"c", 1, "1"}},
                                  Scale::kActivation);
  EXPECT_THAT(html, HasSubstr("class=\"n4\" data-value=\"-1\""));
  EXPECT_THAT(html, HasSubstr("class=\"q0\" data-value=\"0.1\""));
  EXPECT_THAT(html, HasSubstr("class=\"q8\" data-value=\"1\""));
  EXPECT_EQ(coloured_text("Nothing", {}, Scale::kSurprise), "");
}

}  // namespace
}  // namespace unroll

#include "page/figure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace unroll {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Chart small_chart() {
  return {.title = "Perplexity",
          .xlabel = "epoch",
          .ylabel = "perplexity",
          .series = {{.name = "training", .x = {1, 2, 3}, .y = {8, 4, 1.0 / 3 + 1}}}};
}

// What the page's script is given.
nlohmann::json values_of(const std::string& html) {
  std::smatch match;
  EXPECT_TRUE(std::regex_search(html, match, std::regex("data-chart=\"([^\"]*)\"")));
  return nlohmann::json::parse(std::regex_replace(match[1].str(), std::regex("&quot;"), "\""));
}

TEST(Figure, ValuesAreThereInFullPrecision) {
  const auto values = values_of(figure(small_chart()));
  EXPECT_EQ(values["series"][0]["name"], "training");
  EXPECT_EQ(values["series"][0]["x"], nlohmann::json({1.0, 2.0, 3.0}));
  EXPECT_EQ(values["series"][0]["y"], nlohmann::json({8.0, 4.0, 1.0 / 3 + 1}));
  EXPECT_EQ(values["log"], false);
}

TEST(Figure, PointsLieWhereTheAxesSay) {
  auto chart = small_chart();
  chart.log_y = true;
  const auto html = figure(chart);
  const auto values = values_of(html);
  const double low = values["y"][0];
  const double high = values["y"][1];
  const double top = values["plot"][1];
  const double height = values["plot"][3];
  std::smatch path;
  ASSERT_TRUE(std::regex_search(html, path, std::regex("d=\"M([\\d.]+) ([\\d.]+)L")));
  EXPECT_NEAR(std::stod(path[1]), values["plot"][0].get<double>(), 0.1);
  EXPECT_NEAR(std::stod(path[2]), top + height * (1 - std::log(8 / low) / std::log(high / low)),
              0.1);
}

TEST(Figure, AGapIsNoPoint) {
  auto chart = small_chart();
  chart.series[0].y[1] = kNaN;
  const auto html = figure(chart);
  EXPECT_TRUE(values_of(html)["series"][0]["y"][1].is_null());
  EXPECT_TRUE(std::regex_search(html, std::regex("class=\"curve\" d=\"M[^L\"]*M[^L\"]*\"")));
  chart.series[0].y = {kNaN, kNaN, kNaN};
  EXPECT_THAT(figure(chart), IsEmpty());
}

TEST(Figure, CurvesAreToldApartByClassAndLegend) {
  auto chart = small_chart();
  EXPECT_THAT(figure(chart), Not(HasSubstr("legend")));
  chart.series.push_back({.name = "<other>", .x = {1, 2}, .y = {3, 2}});
  const auto html = figure(chart);
  EXPECT_THAT(html, HasSubstr("class=\"series s2\""));
  EXPECT_THAT(html, HasSubstr("</svg>&lt;other&gt;</li>"));
  EXPECT_THAT(html, Not(HasSubstr("<other>")));
}

TEST(Figure, LimitAndUnitCircleAreInside) {
  auto chart = small_chart();
  chart.limit = Chart::Limit{.name = "clip 20", .y = 20};
  EXPECT_GE(values_of(figure(chart))["y"][1], 20);
  EXPECT_THAT(figure(chart), HasSubstr("clip 20"));
  const Chart plane{.title = "Eigenvalues",
                    .kind = Chart::Kind::kPoints,
                    .equal_axes = true,
                    .unit_circle = true,
                    .series = {{.name = "W_hh", .x = {0.1, 0.2}, .y = {0, 0}}}};
  const auto values = values_of(figure(plane));
  const double per_x = (values["x"][1].get<double>() - values["x"][0].get<double>()) /
                       values["plot"][2].get<double>();
  const double per_y = (values["y"][1].get<double>() - values["y"][0].get<double>()) /
                       values["plot"][3].get<double>();
  EXPECT_NEAR(per_x, per_y, 1e-12);
  EXPECT_LE(values["x"][0], -1);
  EXPECT_GE(values["y"][1], 1);
}

TEST(Figure, ManyPointsAreThinnedWithTheFirstAndTheLast) {
  auto chart = small_chart();
  auto& [name, x, y] = chart.series[0];
  x.clear();
  y.clear();
  for (int k = 0; k < 12345; ++k) {
    x.push_back(k);
    y.push_back(k % 7);
  }
  const auto kept = values_of(figure(chart))["series"][0]["x"];
  EXPECT_LT(kept.size(), 1002U);
  EXPECT_EQ(kept.front(), 0.0);
  EXPECT_EQ(kept.back(), 12344.0);
}

TEST(Figure, OneValueAndFlatCurvesHaveAxes) {
  auto chart = small_chart();
  chart.series[0] = {.name = "rate", .x = {1}, .y = {0}};
  EXPECT_THAT(figure(chart), HasSubstr("class=\"dot\""));
  EXPECT_THAT(figure(chart), Not(HasSubstr("nan")));
  chart.series[0] = {.name = "rate", .x = {1, 2}, .y = {1, 1}};
  chart.log_y = true;
  EXPECT_THAT(figure(chart), Not(HasSubstr("nan")));
}

// The numbers on the axes.
std::vector<std::string> ticks_of(const std::string& html) {
  const std::regex tick("text-anchor=\"(?:end|middle)\">([^<]*)</text>");
  std::vector<std::string> texts;
  for (std::sregex_iterator at(html.begin(), html.end(), tick), end; at != end; ++at) {
    texts.push_back((*at)[1].str());
  }
  return texts;
}

TEST(Figure, TicksAreRoundNumbers) {
  auto chart = small_chart();
  chart.whole_x = true;
  EXPECT_THAT(ticks_of(figure(chart)), ::testing::ElementsAre("0", "2", "4", "6", "8", "1", "2",
                                                              "3", "epoch", "perplexity"));
  chart.series[0].y = {250000, 1, 30000};
  EXPECT_THAT(ticks_of(figure(chart)), ::testing::Contains("200k"));
  chart.series[0].y = {-1, 0, 1};
  EXPECT_THAT(ticks_of(figure(chart)), Not(::testing::Contains("-0")));
}

TEST(Figure, ManyPowersOfTenHaveFewTicks) {
  auto chart = small_chart();
  chart.log_y = true;
  chart.series[0].y = {1, 1e-20, 1e-40};
  const auto ticks = ticks_of(figure(chart));
  EXPECT_THAT(ticks, ::testing::Contains("1e-36"));
  EXPECT_LT(ticks.size(), 20U);
  EXPECT_EQ(std::count(ticks.begin(), ticks.end(), "0"), 0);
  chart.series[0].y = {1, 1e13, 1};
  EXPECT_THAT(ticks_of(figure(chart)), ::testing::IsSupersetOf({"1", "1e+06", "1e+12"}));
}

TEST(Figure, AnAxisOfNearlyOneValueEnds) {
  auto chart = small_chart();
  chart.series[0].y = {1, std::nextafter(1, 2), 1};
  EXPECT_LT(ticks_of(figure(chart)).size(), 30U);
  chart.series[0].y = {1e300, -1e300, 0};
  EXPECT_LT(ticks_of(figure(chart)).size(), 30U);
}

TEST(Figure, TwelveCurvesAndSixKindsOfPointsDiffer) {
  auto chart = small_chart();
  chart.series.resize(12, chart.series[0]);
  EXPECT_THAT(figure(chart), HasSubstr("class=\"series s6 more\""));
  chart.kind = Chart::Kind::kPoints;
  const std::regex shape("class=\"dot\" d=\"M[\\d.]+ [\\d.]+([^\"]*)\"");
  const auto html = figure(chart);
  std::set<std::string> shapes;
  for (std::sregex_iterator at(html.begin(), html.end(), shape), end; at != end; ++at) {
    shapes.insert((*at)[1].str());
  }
  EXPECT_EQ(shapes.size(), 6U);
}

TEST(Figure, WhatIsReadOutHasNoGap) {
  auto chart = small_chart();
  chart.series[0].y[2] = kNaN;
  EXPECT_THAT(figure(chart), HasSubstr("aria-label=\"Perplexity; training from 8 at 1 to 4 at 2."));
}

}  // namespace
}  // namespace unroll

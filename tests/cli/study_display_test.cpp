#include "cli/study_display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/report_file.h"
#include "report/train_result.h"
#include "support/temp_folder.h"

namespace unroll::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ShownStudy : public ::testing::Test {
 protected:
  ShownStudy() {
    options_.flag("quiet", "");
    add_report_option(options_);
    const std::array arguments{"study", "--quiet", "--report", path_.c_str()};
    options_.parse(arguments.size(), arguments.data());
  }

  StudyDisplay display() const { return {options_, "Two models", {"first", "second"}, "cpu"}; }
  std::string page() const { return content_of(path_); }

  // What stands on the page between these, first.
  std::string found(const std::string& begin, const std::string& end) const {
    const auto html = page();
    const auto first = html.find(begin) + begin.size();
    return html.substr(first, html.find(end, first) - first);
  }
  std::string status() const { return found("<p class=\"status\">", "</p>"); }

  // The perplexities of each curve.
  std::vector<std::vector<double>> curves() const {
    const auto json = std::regex_replace(found("data-chart=\"", "\""), std::regex("&quot;"), "\"");
    std::vector<std::vector<double>> all;
    const auto chart = nlohmann::json::parse(json);
    for (const auto& series : chart["series"]) {
      all.push_back(series["y"]);
    }
    return all;
  }

  static void stop(StudyDisplay& shown) {
    EXPECT_THROW(shown.run([]() -> int { throw std::runtime_error("no more"); }),
                 std::runtime_error);
  }

  const TempFolder folder_;
  const std::string path_ = folder_.write("page.html", "an earlier page");
  Options options_{"study", ""};
  const std::vector<EpochStats> epochs_ = result_of({9, 7, 5}).epochs;
};

TEST_F(ShownStudy, ACurveBeginsWithTheEpochsBefore) {
  auto shown = display();
  const auto callbacks = shown.begin("first", 0, 3, 5, {epochs_[0], epochs_[1]});
  EXPECT_THAT(status(), StartsWith("Training first: 2 of 5 epochs done at "));
  EXPECT_THAT(curves(), ElementsAre(ElementsAre(9, 7), IsEmpty()));
  callbacks.on_epoch(epochs_[2]);
  stop(shown);
  EXPECT_EQ(status(), "Stopped: no more");
  EXPECT_THAT(curves(), ElementsAre(ElementsAre(9, 7, 5), IsEmpty()));
}

TEST_F(ShownStudy, OnlyTheFirstSeedHasACurve) {
  auto shown = display();
  shown.begin("first", 0, 3, 1).on_epoch(epochs_[0]);
  shown.begin("second", 0, 3, 1).on_epoch(epochs_[1]);
  shown.begin("first", 1, 4, 1).on_epoch(epochs_[2]);
  stop(shown);
  EXPECT_THAT(curves(), ElementsAre(ElementsAre(9), ElementsAre(7)));
}

TEST_F(ShownStudy, WhatFailsBeforeATrainingLeavesTheEarlierPage) {
  auto shown = display();
  stop(shown);
  EXPECT_EQ(page(), "an earlier page");
}

TEST_F(ShownStudy, APageThatCouldNotBeWrittenIsTriedAgainAtTheEnd) {
  auto shown = display();
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  ::testing::internal::CaptureStderr();
  shown.begin("first", 0, 3, 1);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("; the training continues\n"));
  std::filesystem::remove(path_);
  ::testing::internal::CaptureStdout();
  shown.show("the result\n", [](const Provenance& from) { return "the page of " + from.machine; });
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "the result\n");
  EXPECT_THAT(page(), StartsWith("the page of cpu"));
}

}  // namespace
}  // namespace unroll::app

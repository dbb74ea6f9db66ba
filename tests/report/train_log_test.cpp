#include "report/train_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/train_report.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

EpochStats epoch(int64_t number) {
  EpochStats stats;
  stats.epoch = number;
  stats.perplexity = 1.0 / static_cast<double>(number) + 1;
  return stats;
}

std::vector<EpochStats> epochs(int64_t count) {
  std::vector<EpochStats> result;
  for (int64_t e = 1; e <= count; ++e) {
    result.push_back(epoch(e));
  }
  return result;
}

std::string lines(int64_t count) {
  std::string text;
  for (const auto& stats : epochs(count)) {
    text += log_line(stats) + "\n";
  }
  return text;
}

TEST(TrainLog, HasALineAnEpoch) {
  const TempFolder folder;
  folder.write("log", "what was there");
  TrainLog log(folder / "log");
  EXPECT_EQ(content_of(folder / "log"), "");
  log.write(epoch(1));
  EXPECT_EQ(content_of(folder / "log"), lines(1));
  log.write(epoch(2));
  log.sync();
  EXPECT_EQ(content_of(folder / "log"), lines(2));
}

TEST(TrainLog, IsCutWhereTheTrainingGoesOn) {
  const TempFolder folder;
  const auto whole = lines(5);
  // Killed anywhere: in the middle of a line, or with lines too few or too many.
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    folder.write("log", whole.substr(0, size));
    {
      TrainLog log(folder / "log", epochs(3));
      log.write(epoch(4));
    }
    ASSERT_EQ(content_of(folder / "log"), lines(4)) << "of " << size << " bytes";
  }
}

TEST(TrainLog, LinesThatAreThereStayAsTheyAre) {
  const TempFolder folder;
  const std::string first = "{\"epoch\":1,\"perplexity\":2.0,\"note\":\"by hand\"}\n";
  folder.write("log", first + lines(3));
  TrainLog log(folder / "log", epochs(2));
  EXPECT_EQ(content_of(folder / "log"), first + log_line(epoch(2)) + "\n");
}

TEST(TrainLog, LinesOfAnotherTrainingAreReplaced) {
  const TempFolder folder;
  auto other = epochs(4);
  other[1].perplexity += 1e-9;
  {
    TrainLog log(folder / "log");
    for (const auto& stats : other) {
      log.write(stats);
    }
  }
  TrainLog log(folder / "log", epochs(3));
  EXPECT_EQ(content_of(folder / "log"), lines(3));
}

TEST(TrainLog, AnotherFileIsLeftAsItIs) {
  const TempFolder folder;
  for (const std::string text :
       {"a letter\n", "a letter", "{}\n", "[1]\n", "{\"epoch\":\"1\",\"perplexity\":2}\n"}) {
    const auto file = folder.write("log", text);
    EXPECT_THAT(thrown<Error>([&] { TrainLog(file, epochs(2)); }),
                AllOf(HasSubstr("log: line 1"), HasSubstr("nothing is written")));
    EXPECT_EQ(content_of(file), text);
  }
}

TEST(TrainLog, ASecondTrainingIsRefused) {
  const TempFolder folder;
  TrainLog first(folder / "log");
  first.write(epoch(1));
  EXPECT_THAT(thrown<Error>([&] { TrainLog(folder / "log"); }), HasSubstr("another training"));
  EXPECT_EQ(content_of(folder / "log"), lines(1));
}

TEST(TrainLog, WhereNothingCanBeWrittenIsAnErrorThatNamesIt) {
  const TempFolder folder;
  EXPECT_THAT(thrown<Error>([&] { TrainLog(folder / "no" / "log"); }), HasSubstr("no/log"));
  EXPECT_THAT(thrown<Error>([&] { TrainLog(folder.path()); }), HasSubstr("cannot be written"));
  TrainLog full("/dev/full");
  EXPECT_THAT(thrown<Error>([&] { full.write(epoch(1)); }), HasSubstr("/dev/full"));
}

}  // namespace
}  // namespace unroll

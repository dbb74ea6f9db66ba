#include "report/tensorboard_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "support/temp_folder.h"

namespace unroll {
namespace {

// How often a tag or a text is in the folder's newest file.
int64_t times_in_newest(const TempFolder& folder, std::string_view wanted) {
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    newest = std::max(newest, entry.path());
  }
  const auto content = content_of(newest);
  int64_t times = 0;
  for (auto at = content.find(wanted); at != std::string::npos; at = content.find(wanted, at + 1)) {
    ++times;
  }
  return times;
}

EpochStats stats_of(int64_t epoch) {
  EpochStats stats;
  stats.epoch = epoch;
  stats.perplexity = 2;
  return stats;
}

TrainResult result_after(int64_t epoch) {
  TrainResult result;
  result.epochs.push_back(stats_of(epoch));
  result.predictions = {"one and more", "two and more"};
  return result;
}

TEST(TensorBoardLog, HasTheFiguresThatWereMeasured) {
  const TempFolder folder;
  TensorBoardLog log(folder.path());
  log.write(stats_of(1));
  for (const char* tag :
       {"perplexity/train", "gradient norm", "learning rate", "tokens per second"}) {
    EXPECT_EQ(times_in_newest(folder, tag), 1) << tag;
  }
  EXPECT_EQ(times_in_newest(folder, "perplexity/validation"), 0);
  EXPECT_EQ(times_in_newest(folder, "skipped steps"), 0);
  auto stats = stats_of(2);
  stats.valid_perplexity = 3;
  stats.skipped = 1;
  log.write(stats);
  EXPECT_EQ(times_in_newest(folder, "perplexity/train"), 2);
  EXPECT_EQ(times_in_newest(folder, "perplexity/validation"), 1);
  EXPECT_EQ(times_in_newest(folder, "skipped steps"), 1);
}

TEST(TensorBoardLog, HasEachSampleOnce) {
  const TempFolder folder;
  TensorBoardLog log(folder.path());
  log.write(stats_of(1));
  log.write_sample(stats_of(1), "one");
  log.write_samples(result_after(1));
  EXPECT_EQ(times_in_newest(folder, "sample/1"), 1);
  EXPECT_EQ(times_in_newest(folder, "sample/2"), 1);
  log.write(stats_of(2));
  log.write_samples(result_after(2));
  EXPECT_EQ(times_in_newest(folder, "sample/1"), 2);
  EXPECT_EQ(times_in_newest(folder, "sample/2"), 2);
}

TEST(TensorBoardLog, GoesOnAfterItsHistory) {
  const TempFolder folder;
  const std::vector history{stats_of(1), stats_of(2)};
  TensorBoardLog(folder.path(), history).write(stats_of(3));
  EXPECT_EQ(times_in_newest(folder, "perplexity/train"), 3);  // the folder was empty
  TensorBoardLog(folder.path(), history).write(stats_of(3));
  EXPECT_EQ(times_in_newest(folder, "perplexity/train"), 1);
  EXPECT_EQ(times_in_newest(folder, "\x10\x03\x3A\x02\x08\x01"), 1);  // a session from step 3
}

TEST(TensorBoardLog, SamplesOfATrainingThatWasOverAreThereAlready) {
  const TempFolder folder;
  TensorBoardLog(folder.path()).write(stats_of(1));
  TensorBoardLog log(folder.path(), {stats_of(1)});
  log.write_samples(result_after(1));
  EXPECT_EQ(times_in_newest(folder, "sample/"), 0);
}

}  // namespace
}  // namespace unroll

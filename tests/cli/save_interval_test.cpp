#include "cli/save_interval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/formatted.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

using ::testing::HasSubstr;

TEST(SaveInterval, IsInEpochsOrMinutes) {
  for (const char* text : {"10", "10 epochs", "10epochs", "10 epoch"}) {
    EXPECT_EQ(parse_save_interval(text).epochs, 10) << text;
    EXPECT_EQ(parse_save_interval(text).minutes, 0) << text;
  }
  for (const char* text : {"2.5m", "2.5 minutes", "2.5 minute"}) {
    EXPECT_EQ(parse_save_interval(text).minutes, 2.5) << text;
    EXPECT_EQ(parse_save_interval(text).epochs, 0) << text;
  }
}

TEST(SaveInterval, AnythingElseIsWrongUsage) {
  for (const char* text : {"", "0", "-1", "1.5", "m", "0m", "-2m", "5 hours", "5 m 2", "nan",
                           "infm", "1e300", "often"}) {
    EXPECT_THAT(thrown<UsageError>([&] { parse_save_interval(text); }),
                HasSubstr(formatted("got '{}'", text)));
  }
}

}  // namespace
}  // namespace unroll::app

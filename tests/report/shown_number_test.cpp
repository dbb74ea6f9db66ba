#include "report/shown_number.h"

#include <gtest/gtest.h>

#include <limits>

namespace unroll {
namespace {

TEST(ShownNumber, IsNeverLongerThanAReaderReads) {
  EXPECT_EQ(shown_number(1.0 / 3, 4), "0.3333");
  EXPECT_EQ(shown_number(123456789.25, 1), "123456789.2");
  EXPECT_EQ(shown_number(1.5e104, 4), "1.50e+104");
  EXPECT_EQ(shown_number(std::numeric_limits<double>::quiet_NaN(), 4), "-");
  EXPECT_EQ(shown_number(-std::numeric_limits<double>::infinity(), 4), "-");
}

TEST(ShownNumber, OfSeveralValuesHasTheirDeviation) {
  EXPECT_EQ(shown_spread({.mean = 1.25, .deviation = 0.5}, 1, 2), "1.25");
  EXPECT_EQ(shown_spread({.mean = 1.25, .deviation = 0.5}, 2, 2), "1.25 ± 0.50");
}

}  // namespace
}  // namespace unroll

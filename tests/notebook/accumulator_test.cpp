#include <gtest/gtest.h>

#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/notebook.h"

namespace unroll {
namespace {

TEST(Accumulator, AddsToEachSum) {
  Accumulator metric(2);
  metric.add({1.5, 2});
  metric.add({1, -5});
  EXPECT_EQ(metric.size(), 2U);
  EXPECT_EQ(metric[0], 2.5);
  EXPECT_EQ(metric[1], -3);
  metric.reset();
  EXPECT_EQ(metric[0], 0);
  EXPECT_EQ(metric[1], 0);
}

TEST(Accumulator, NeedsOneValueForEachSum) {
  Accumulator metric(2);
  thrown<Error>([&] { metric.add({1}); });
  thrown<Error>([&] { metric.add({1, 2, 3}); });
  EXPECT_EQ(metric[0], 0);
  EXPECT_THROW(metric[2], std::out_of_range);
}

}  // namespace
}  // namespace unroll

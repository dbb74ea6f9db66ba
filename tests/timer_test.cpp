#include "unroll/timer.h"

#include <gtest/gtest.h>

namespace unroll {
namespace {

TEST(Timer, RunsForwardAndStartsAgain) {
  Timer timer;
  const double first = timer.stop();
  const double second = timer.stop();
  EXPECT_GE(first, 0);
  EXPECT_GE(second, first);
  Timer later;
  timer.start();
  EXPECT_LE(timer.stop(), later.stop());
}

}  // namespace
}  // namespace unroll

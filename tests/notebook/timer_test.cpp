#include <gtest/gtest.h>

#include "unroll/notebook.h"

namespace unroll {
namespace {

TEST(Timer, RunsForwardAndStartsAgain) {
  Timer timer;
  const double first = timer.stop();
  const double second = timer.stop();
  EXPECT_GE(first, 0);
  EXPECT_GE(second, first);
  const Timer earlier;
  timer.start();
  const double restarted = timer.stop();
  EXPECT_LE(restarted, earlier.stop());
}

}  // namespace
}  // namespace unroll

#include "unroll/error.h"

#include <gtest/gtest.h>

namespace unroll {
namespace {

TEST(Error, WrongUsageIsAnErrorAndKeepsItsMessage) {
  try {
    throw UsageError("hidden must be >= 1, got 0");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "hidden must be >= 1, got 0");
  }
  EXPECT_THROW(throw Error("x"), std::runtime_error);
}

}  // namespace
}  // namespace unroll

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/ranks.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

TEST(NoRanks, SayWhatIsMissing) {
  EXPECT_EQ(join_ranks({})->world(), 1);
  EXPECT_THAT(ranks_problem(), HasSubstr("built without "));
  EXPECT_THAT(thrown<Error>([] { join_ranks({.world = 2}); }),
              HasSubstr("2 ranks cannot train together: built without "));
}

}  // namespace
}  // namespace unroll

#include <gtest/gtest.h>

#include <cmath>

#include "unroll/evaluate.h"

namespace unroll {
namespace {

TEST(Perplexity, OfUniformGuessingIsTheNumberOfTokensToChooseFrom) {
  EXPECT_DOUBLE_EQ(perplexity(5 * std::log(28.0), 5), 28);
}

TEST(Perplexity, OfCertaintyIsOne) { EXPECT_EQ(perplexity(0, 3), 1); }

TEST(Perplexity, OfDifferentProbabilitiesIsTheirInverseGeometricMean) {
  EXPECT_DOUBLE_EQ(perplexity(-std::log(0.5) - std::log(0.125), 2), 4);
}

TEST(Perplexity, OfNothingIsNoNumber) { EXPECT_TRUE(std::isnan(perplexity(0, 0))); }

}  // namespace
}  // namespace unroll

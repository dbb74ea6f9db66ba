#include "kernels/cpu/vector_ops.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/each_target.h"
#include "kernels/cpu/threads.h"

namespace unroll::cpu {
namespace {

// Arrays that begin on no boundary of a vector, of sizes about those of vectors, parts and threads.
class VectorOps : public EachTarget {
 protected:
  static constexpr int64_t kSizes[] = {0,  1,  3,  4,    15,   16,   17,
                                       63, 64, 65, 1000, 8191, 8193, 100003};
  static constexpr int64_t kShift = 1;
};

TEST_P(VectorOps, SumOfSquares) {
  for (const int64_t size : kSizes) {
    const auto x = values(size + kShift);
    double expected = 0;
    for (int64_t i = 0; i < size; ++i) {
      expected += static_cast<double>(x[i + kShift]) * x[i + kShift];
    }
    EXPECT_NEAR(sum_of_squares(x.data() + kShift, size), expected, 1e-6 * expected) << size;
  }
}

TEST_P(VectorOps, ASumDoesNotDependOnTheNumberOfThreads) {
  const auto x = values(1 << 20);
  const auto sum_on = [&](int64_t count) {
    const Threads threads(count);
    return sum_of_squares(x.data(), 1 << 20);
  };
  EXPECT_EQ(sum_on(3), sum_on(1));
}

TEST_P(VectorOps, WhatIsNotFiniteShowsInTheSum) {
  for (const int64_t at : {int64_t{0}, int64_t{20}, int64_t{69}, int64_t{99}}) {
    auto x = values(100);
    x[at] = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(std::isinf(sum_of_squares(x.data(), 100)));
    x[at] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(sum_of_squares(x.data(), 100)));
  }
}

TEST_P(VectorOps, Scale) {
  for (const int64_t size : kSizes) {
    const auto before = values(size + 2 * kShift);
    auto x = before;
    scale(-0.3F, x.data() + kShift, size);
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_EQ(x[i + kShift], before[i + kShift] * -0.3F);
    }
    EXPECT_EQ(x.front(), before.front());
    EXPECT_EQ(x.back(), before.back());
  }
}

TEST_P(VectorOps, SubtractScaled) {
  for (const int64_t size : kSizes) {
    const auto x = values(size + kShift);
    const auto before = values(size + 2 * kShift);
    auto to = before;
    subtract_scaled(x.data() + kShift, 0.7F, to.data() + kShift, size);
    for (int64_t i = 0; i < size; ++i) {
      const float expected = std::fma(-0.7F, x[i + kShift], before[i + kShift]);
      ASSERT_NEAR(to[i + kShift], expected, 1e-6);
    }
    EXPECT_EQ(to.front(), before.front());
    EXPECT_EQ(to.back(), before.back());
  }
}

UNROLL_EACH_TARGET(VectorOps);

}  // namespace
}  // namespace unroll::cpu

#include "kernels/cpu/machine/barrier.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace unroll::cpu {
namespace {

// Each round every thread adds up what all wrote in the round before.
std::vector<int64_t> rounds_together(const std::vector<int64_t>& shares, int64_t total,
                                     int64_t rounds) {
  Barrier barrier(total);
  const std::size_t count = shares.size();
  std::vector<std::vector<int64_t>> values(2, std::vector<int64_t>(count, 1));
  std::vector<std::thread> threads;
  for (std::size_t n = 0; n < count; ++n) {
    threads.emplace_back([&, n] {
      for (int64_t round = 0; round < rounds; ++round) {
        int64_t sum = 0;
        for (const auto value : values[round % 2]) {
          sum += value % 1000;
        }
        values[(round + 1) % 2][n] = sum;
        barrier.wait(shares[n]);
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  return values[rounds % 2];
}

TEST(Barrier, NobodyGoesOnBeforeAllHaveCome) {
  std::vector<int64_t> expected(3, 1);
  for (int round = 0; round < 500; ++round) {
    expected.assign(3, 3 * (expected[0] % 1000));
  }
  EXPECT_EQ(rounds_together({1, 1, 1}, 3, 500), expected);
  // Fewer threads than shares
  EXPECT_EQ(rounds_together({2, 1, 4}, 7, 500), expected);
}

TEST(Barrier, OneThreadWithAllSharesWaitsForNobody) {
  EXPECT_EQ(rounds_together({4}, 4, 10), std::vector<int64_t>{1});
}

}  // namespace
}  // namespace unroll::cpu

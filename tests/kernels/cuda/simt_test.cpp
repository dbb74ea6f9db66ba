#include "kernels/cuda/simt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "emulation/simt_on_cpu.h"

namespace unroll::cuda {
namespace {

TEST(SimtOnCpu, ABarrierThatNotAllReachIsAnError) {
  EXPECT_THROW(run({.blocks = 1, .threads = 4},
                   [] {
                     if (thread_index() != 2) {
                       sync_block();
                     }
                   }),
               std::runtime_error);
}

TEST(SimtOnCpu, LanesGetEachOthersValues) {
  std::vector<float> got(64);
  run({.blocks = 1, .threads = 64}, [&] {
    const int me = thread_index();
    const float other = shuffle_xor(static_cast<float>(me), 8);
    got[me] = shuffle_xor(other, 1);
  });
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(got[i], i ^ 9);
  }
}

TEST(SimtOnCpu, OrdersOfThreadsDiffer) {
  std::vector<int> order;
  run({.blocks = 1, .threads = 16}, [&] { order.push_back(thread_index()); });
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order.size(), 16U);
}

}  // namespace
}  // namespace unroll::cuda

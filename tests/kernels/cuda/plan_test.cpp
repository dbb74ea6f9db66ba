#include "kernels/cuda/plan.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>

#include "base/formatted.h"
#include "emulation/gpus.h"
#include "kernels/cuda/shapes.h"

namespace unroll::cuda {
namespace {

TEST(CudaPlan, FitsTheDeviceForEveryShape) {
  for (const auto& limits : {kH200, kA100}) {
    for (const auto cell : kAllCells) {
      for (const auto way : {Way::kForward, Way::kBackward}) {
        for (const int64_t H :
             {1, 31, 64, 65, 128, 129, 200, 256, 257, 500, 512, 513, 1024, 2048}) {
          for (const int64_t B : {1, 2, 31, 32, 128, 512, 5000}) {
            SCOPED_TRACE(formatted("cell {}, way {}, H {}, B {}, {} multiprocessors",
                                   static_cast<int>(cell), static_cast<int>(way), H, B,
                                   limits.multiprocessors));
            const auto plan = make_plan(cell, way, B, H, limits, Operands::kFloat32);
            if (!plan) {
              EXPECT_GT(H, 500);  // smaller layers always have room
              continue;
            }
            EXPECT_GE(plan->units * plan->blocks, H);
            EXPECT_LT(plan->units * (plan->blocks - 1), H);
            EXPECT_LE(plan->blocks * plan->groups, limits.multiprocessors);
            EXPECT_GE(plan->groups, 1);
            EXPECT_LE(plan->shared_bytes, limits.shared_bytes);
            // A thread has one unit of one sequence at most.
            EXPECT_LE(plan->units * plan->S, kThreads);
            EXPECT_TRUE(plan->S == 1 || plan->S == 2 || plan->S == 4 || plan->S == 8);
            if (plan->in_clusters) {
              EXPECT_LE(plan->blocks, kMostBlocks);
              EXPECT_GE(plan->blocks, kFewestBlocks);
              EXPECT_LE(plan->groups, limits.clusters.at(static_cast<std::size_t>(plan->blocks)));
              EXPECT_LE(H, plan->most_hidden);
            } else {
              const int columns = (way == Way::kBackward ? 1 : product_gates(cell)) * plan->units;
              EXPECT_LE(columns, plan->columns * kLanes);
              EXPECT_GE(plan->exchange_words, plan->groups * 2 * H * plan->S);
            }
          }
        }
      }
    }
  }
}

// Measured there: with a batch of 32, of which 15 clusters of two sequences leave two for a second
// wave, one wave of four sequences is faster; with 30, all are in one wave of two.
TEST(CudaPlan, AGroupTakesTheSequencesThatEndSoonest) {
  for (const auto cell : {CellKind::kRnn, CellKind::kRnnRelu}) {
    for (const auto& [B, S, groups] : {std::array{15, 1, 15}, std::array{30, 2, 15},
                                       std::array{32, 4, 8}, std::array{512, 8, 15}}) {
      SCOPED_TRACE(formatted("B {}", B));
      const auto plan = make_plan(cell, Way::kForward, B, 512, kH200, Operands::kFloat32);
      ASSERT_TRUE(plan);
      EXPECT_TRUE(plan->in_clusters);
      EXPECT_EQ(plan->blocks, 8);
      EXPECT_EQ(plan->S, S);
      EXPECT_EQ(plan->groups, groups);
    }
  }
}

TEST(CudaPlan, WithoutRoomForAClusterTheGridIsTaken) {
  auto few = kH200;
  few.clusters.at(8) = 0;
  EXPECT_FALSE(
      make_plan(CellKind::kRnn, Way::kForward, 32, 512, few, Operands::kFloat32)->in_clusters);
  EXPECT_TRUE(
      make_plan(CellKind::kRnn, Way::kForward, 32, 256, kH200, Operands::kFloat32)->in_clusters);
}

TEST(CudaPlan, LargeModelsAndOlderGpusTakeTheGrid) {
  EXPECT_FALSE(
      make_plan(CellKind::kRnn, Way::kForward, 32, 512, kA100, Operands::kFloat32)->in_clusters);
  EXPECT_FALSE(
      make_plan(CellKind::kLstm, Way::kForward, 32, 512, kH200, Operands::kFloat32)->in_clusters);
  EXPECT_FALSE(
      make_plan(CellKind::kRnn, Way::kForward, 32, 2048, kH200, Operands::kFloat32)->in_clusters);
}

// Seven of them run at once on an H200, for 56 sequences.
TEST(CudaPlan, InBf16LargerModelsTakeClustersOfSixteenBlocks) {
  auto without = kH200;
  without.clusters.at(16) = 0;
  for (const auto cell : kAllCells) {
    const int64_t H = is_simple(cell) ? 1024 : 512;
    for (const auto way : {Way::kForward, Way::kBackward}) {
      const auto plan = make_plan(cell, way, 32, H, kH200, Operands::kBf16);
      ASSERT_TRUE(plan);
      EXPECT_TRUE(plan->in_clusters);
      EXPECT_EQ(plan->blocks, 16);
      EXPECT_EQ(plan->groups, 4);
      EXPECT_EQ(make_plan(cell, way, 512, H, kH200, Operands::kBf16)->groups, 7);
      EXPECT_FALSE(make_plan(cell, way, 32, H, without, Operands::kBf16)->in_clusters);
      EXPECT_FALSE(make_plan(cell, way, 32, H, kH200, Operands::kFloat32)->in_clusters);
    }
  }
}

TEST(CudaPlan, WithoutClustersOfTenBlocksThoseOfSixteenAreTaken) {
  auto few = kH200;
  for (std::size_t blocks = 9; blocks < 16; ++blocks) {
    few.clusters.at(blocks) = 0;
  }
  const auto with = [](const GpuLimits& limits) {
    return make_plan(CellKind::kLstm, Way::kForward, 32, 300, limits, Operands::kBf16);
  };
  EXPECT_EQ(with(kH200)->blocks, 10);
  EXPECT_EQ(with(few)->blocks, 16);
  few.clusters.at(16) = 0;
  EXPECT_FALSE(with(few)->in_clusters);
}

// By fewer units a block more sequences a group find room; that is not worth it for one sequence.
TEST(CudaPlan, ABlockOfAGridHasAsManyUnitsAsAreFastest) {
  const auto units = [](CellKind cell, Way way, int64_t batch_size, int64_t hidden) {
    return make_plan(cell, way, batch_size, hidden, kH200, Operands::kFloat32)->units;
  };
  EXPECT_EQ(units(CellKind::kGruAfter, Way::kBackward, 32, 1024), 8);
  EXPECT_EQ(units(CellKind::kLstm, Way::kBackward, 32, 768), 8);
  EXPECT_EQ(units(CellKind::kRnn, Way::kForward, 1, 600), 64);
  EXPECT_EQ(units(CellKind::kRnn, Way::kForward, 1, 1024), 32);
}

TEST(CudaPlan, WhatFindsNoRoomHasNone) {
  EXPECT_FALSE(make_plan(CellKind::kLstm, Way::kForward, 32, 2048, kH200, Operands::kFloat32));
  EXPECT_FALSE(make_plan(CellKind::kRnn, Way::kForward, 32, 1 << 20, kH200, Operands::kFloat32));
  EXPECT_FALSE(make_plan(CellKind::kRnn, Way::kForward, 32, 512, GpuLimits{}, Operands::kFloat32));
  auto older = kA100;
  older.capability = 75;
  EXPECT_FALSE(make_plan(CellKind::kRnn, Way::kForward, 32, 512, older, Operands::kFloat32));
  EXPECT_FALSE(make_plan(CellKind::kRnn, Way::kForward, 0, 512, kH200, Operands::kFloat32));
}

TEST(CudaPlan, LargerModelsFindRoomInBf16) {
  const auto has_room = [](CellKind cell, int64_t hidden, Operands operands) {
    return make_plan(cell, Way::kForward, 32, hidden, kH200, operands) &&
           make_plan(cell, Way::kBackward, 32, hidden, kH200, operands);
  };
  EXPECT_TRUE(has_room(CellKind::kLstm, 1024, Operands::kFloat32));
  EXPECT_TRUE(has_room(CellKind::kLstm, 1024, Operands::kBf16));
  for (const auto& [cell, hidden] : {std::pair{CellKind::kRnn, 2600},
                                     {CellKind::kLstm, 1100},
                                     {CellKind::kGruAfter, 1400},
                                     {CellKind::kGruBefore, 1600}}) {
    EXPECT_FALSE(has_room(cell, hidden, Operands::kFloat32)) << hidden;
    EXPECT_TRUE(has_room(cell, hidden, Operands::kBf16)) << hidden;
  }
}

TEST(CudaPlan, SomeFindRoomInFloat32Alone) {
  // In bf16 a group has eight sequences, each with the gradients by all gates.
  const auto has_plan = [](Operands operands) {
    return make_plan(CellKind::kLstm, Way::kBackward, 32, 640, kLittleShared, operands).has_value();
  };
  EXPECT_TRUE(has_plan(Operands::kFloat32));
  EXPECT_FALSE(has_plan(Operands::kBf16));
}

TEST(CudaPlan, TensorCoresTakeEightSequencesAtATime) {
  for (const auto& limits : {kH200, kA100}) {
    for (const auto cell : kAllCells) {
      for (const auto way : {Way::kForward, Way::kBackward}) {
        for (const int64_t H : {1, 33, 128, 256, 257, 512}) {
          for (const int64_t B : {1, 32, 500}) {
            SCOPED_TRACE(formatted("cell {}, way {}, H {}, B {}", static_cast<int>(cell),
                                   static_cast<int>(way), H, B));
            const auto plan = make_plan(cell, way, B, H, limits, Operands::kBf16);
            ASSERT_TRUE(plan);
            EXPECT_EQ(plan->operands, Operands::kBf16);
            EXPECT_EQ(plan->S, kTileSequences);
            EXPECT_GE(plan->units * plan->blocks, H);
            EXPECT_LE(plan->blocks * plan->groups, limits.multiprocessors);
            EXPECT_LE(plan->groups, (B + kTileSequences - 1) / kTileSequences);
            EXPECT_LE(plan->shared_bytes, limits.shared_bytes);
            EXPECT_LE(plan->units * plan->S, kThreads);
            if (plan->in_clusters) {
              EXPECT_GE(plan->most_hidden, 256);
              EXPECT_LE(plan->groups, limits.clusters.at(static_cast<std::size_t>(plan->blocks)));
              EXPECT_LE(H, plan->most_hidden);
            } else {
              const int gates = way == Way::kBackward ? product_gates(cell) : 1;
              EXPECT_GE(plan->exchange_words, plan->groups * gates * H * plan->S);  // two a word
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace unroll::cuda

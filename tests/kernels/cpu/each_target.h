#pragma once

// Before Highway's own headers.
#include "kernels/cpu/machine/targets.h"
//
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/matrices/panels.h"
#include "kernels/cpu/matrices/tile_product.h"

namespace unroll::cpu {

/// A test that runs once for each instruction set that the kernels are compiled for and this CPU
/// has, the portable path among them.
class EachTarget : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  std::mt19937 random_{11};

  int64_t draw(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  std::vector<float> values(int64_t count, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> result(static_cast<std::size_t>(count));
    for (auto& value : result) {
      value = normal(random_);
    }
    return result;
  }
  Panels panels(int64_t rows, int64_t columns, int64_t width = kPanel) {
    return panels(rows, columns, width, width);
  }
  Panels panels(int64_t rows, int64_t columns, int64_t width, int64_t strip) {
    Panels result;
    result.resize(rows, columns, width, strip);
    const auto from = values(rows * columns);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        *result.at(r, c) = from[r * columns + c];
      }
    }
    return result;
  }
};

/// The instruction sets on which products of tiles can be computed here: those without a tile unit
/// compute the same step by step, and the one that should have one needs a CPU that does.
inline std::vector<int64_t> tile_targets() {
  auto targets = hwy::SupportedAndGeneratedTargets();
  if (!has_tile_unit()) {
    std::erase_if(targets, [](int64_t target) { return HWY_ARCH_X86_64 && target <= HWY_AVX3; });
  }
  return targets;
}

inline std::string target_name(const ::testing::TestParamInfo<int64_t>& info) {
  return hwy::TargetName(info.param);
}

}  // namespace unroll::cpu

#define UNROLL_EACH_TARGET(Suite)          \
  INSTANTIATE_TEST_SUITE_P(Targets, Suite, \
                           ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()), target_name)

#define UNROLL_EACH_TILE_TARGET(Suite) \
  INSTANTIATE_TEST_SUITE_P(Targets, Suite, ::testing::ValuesIn(tile_targets()), target_name)

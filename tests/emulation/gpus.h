#pragma once

#include "kernels/cuda/plan.h"

namespace unroll::cuda {

/// What these GPUs report. Of an H200's clusters those of 2, 4, 8 and 16 blocks were counted on
/// one.
constexpr GpuLimits kH200{.capability = 90,
                          .multiprocessors = 132,
                          .shared_bytes = 232448,
                          .clusters = {0, 0, 66, 40, 30, 24, 20, 16, 15, 8, 8, 8, 7, 7, 7, 7, 7}};
constexpr GpuLimits kA100{.capability = 80, .multiprocessors = 108, .shared_bytes = 166912};

/// With as little shared memory as GPUs of compute capability 12.0 have.
constexpr GpuLimits kLittleShared = [] {
  auto limits = kH200;
  limits.shared_bytes = 101376;
  return limits;
}();

}  // namespace unroll::cuda

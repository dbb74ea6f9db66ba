#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "kernels/cell_table.h"
#include "kernels/cuda/kernel_name.h"
#include "kernels/cuda/plan.h"

namespace unroll::cuda {

/// Those that need no plan.
inline std::set<std::string> kernels_without_plan() {
  return {kNoWork,
          kCutBatch,
          kCopyMatrices,
          kSumByToken,
          kOutputLayer,
          kNormOfGradients,
          update_kernel(UpdateRule::kSgd),
          update_kernel(UpdateRule::kAdam),
          update_kernel(UpdateRule::kAdamW)};
}

/// The kernels that such a GPU's plans ask for, by their names.
inline std::set<std::string> kernels_planned_on(const GpuLimits& limits) {
  std::set<std::string> names;
  for (const auto cell : kAllCells) {
    for (const auto work : {Work::kForward, Work::kBackward, Work::kGenerate}) {
      for (const auto operands : {Operands::kFloat32, Operands::kBf16}) {
        for (const int64_t H : {20, 40, 100, 128, 200, 256, 300, 512, 600, 800, 1024, 1500, 2048}) {
          for (const int64_t B : {1, 2, 8, 16, 32, 64, 100, 300, 1000}) {
            const auto plan = make_plan(cell, way_of(work), B, H, limits, operands);
            if (plan && (work != Work::kGenerate || operands == Operands::kFloat32)) {
              names.insert(kernel_name(*plan, cell, work));
            }
          }
        }
      }
    }
  }
  return names;
}

}  // namespace unroll::cuda

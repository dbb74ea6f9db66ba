#pragma once

#include <cstddef>
#include <iterator>
#include <type_traits>

#include "kernels/cuda/plan.h"
#include "kernels/cuda/shapes.h"

// From a plan's numbers to the constants that kernels are compiled for.

namespace unroll::cuda {

template <auto kValue>
using Constant = std::integral_constant<decltype(kValue), kValue>;

/// Calls use(a constant) for the one of kAllCells that `cell` is; gives `otherwise` if it is none.
template <std::size_t kIndex = 0, typename Result, typename Use>
Result with_constant(CellKind cell, Result otherwise, const Use& use) {
  if constexpr (kIndex == std::size(kAllCells)) {
    return otherwise;
  } else if (cell == kAllCells[kIndex]) {
    return use(Constant<kAllCells[kIndex]>());
  } else {
    return with_constant<kIndex + 1>(cell, otherwise, use);
  }
}

/// Calls use(cell, S, operands); gives `otherwise` where there is no kernel for them.
template <typename Result, typename Use>
Result with_cell(const Plan& plan, CellKind cell, Result otherwise, const Use& use) {
  constexpr Constant<Operands::kFloat32> kFloat32;
  const auto with_sequences = [&](auto kind) {
    if (plan.operands == Operands::kBf16) {
      return use(kind, Constant<kTileSequences>(), Constant<Operands::kBf16>());
    }
    switch (plan.S) {
      case 1:
        return use(kind, Constant<1>(), kFloat32);
      case 2:
        return use(kind, Constant<2>(), kFloat32);
      case 4:
        return use(kind, Constant<4>(), kFloat32);
      case 8:
        return use(kind, Constant<8>(), kFloat32);
      default:
        return otherwise;
    }
  };
  return with_constant(cell, otherwise, with_sequences);
}

/// Calls use(cell, most hidden units, S, operands) for a plan in clusters.
template <typename Result, typename Use>
Result with_cluster_kernel(const Plan& plan, CellKind cell, Result otherwise, const Use& use) {
  return with_cell(plan, cell, otherwise, [&](auto kind, auto S, auto operands) {
    if constexpr (operands() == Operands::kFloat32) {
      if (plan.most_hidden == 128) {
        return use(kind, Constant<128>(), S, operands);
      }
    }
    if constexpr (is_simple(kind())) {
      if (plan.most_hidden == 512) {
        return use(kind, Constant<512>(), S, operands);
      }
    }
    return plan.most_hidden == 256 ? use(kind, Constant<256>(), S, operands) : otherwise;
  });
}

/// Calls use(cell, a lane's columns, S, operands) for a plan of a grid.
template <typename Result, typename Use>
Result with_grid_kernel(const Plan& plan, CellKind cell, Result otherwise, const Use& use) {
  return with_cell(plan, cell, otherwise, [&](auto kind, auto S, auto operands) {
    return plan.columns == 1 ? use(kind, Constant<1>(), S, operands)
                             : use(kind, Constant<2>(), S, operands);
  });
}

}  // namespace unroll::cuda

#pragma once

#include <type_traits>

#include "kernels/cuda/plan.h"
#include "kernels/cuda/shapes.h"

// From what a plan asks for to constants, which kernels are compiled for.

namespace unroll::cuda {

template <auto kValue>
using Constant = std::integral_constant<decltype(kValue), kValue>;

/// Calls use(cell, S); gives `otherwise` where there is no kernel for them.
template <typename Result, typename Use>
Result with_cell(CellKind cell, int S, Result otherwise, const Use& use) {
  const auto with_sequences = [&](auto kind) {
    switch (S) {
      case 1:
        return use(kind, Constant<1>());
      case 2:
        return use(kind, Constant<2>());
      case 4:
        return use(kind, Constant<4>());
      case 8:
        return use(kind, Constant<8>());
      default:
        return otherwise;
    }
  };
  switch (cell) {
    case CellKind::kRnn:
      return with_sequences(Constant<CellKind::kRnn>());
    case CellKind::kLstm:
      return with_sequences(Constant<CellKind::kLstm>());
    case CellKind::kGruBefore:
      return with_sequences(Constant<CellKind::kGruBefore>());
    case CellKind::kGruAfter:
      return with_sequences(Constant<CellKind::kGruAfter>());
  }
  return otherwise;
}

/// Calls use(cell, most hidden units, S) for a plan in clusters.
template <typename Result, typename Use>
Result with_cluster_kernel(const Plan& plan, CellKind cell, Result otherwise, const Use& use) {
  return with_cell(cell, plan.S, otherwise, [&](auto kind, auto S) {
    switch (plan.most_hidden) {
      case 128:
        return use(kind, Constant<128>(), S);
      case 256:
        return use(kind, Constant<256>(), S);
      case 512:
        if constexpr (kind() == CellKind::kRnn) {
          return use(kind, Constant<512>(), S);
        }
        break;
      default:
        break;
    }
    return otherwise;
  });
}

/// Calls use(cell, a lane's columns, S) for a plan of a grid.
template <typename Result, typename Use>
Result with_grid_kernel(const Plan& plan, CellKind cell, Result otherwise, const Use& use) {
  return with_cell(cell, plan.S, otherwise, [&](auto kind, auto S) {
    return plan.columns == 1 ? use(kind, Constant<1>(), S) : use(kind, Constant<2>(), S);
  });
}

}  // namespace unroll::cuda

#pragma once

// Functions that device code calls too are marked so where CUDA's compiler reads them.
#ifdef __CUDACC__
#define UNROLL_SHAPE __host__ __device__ constexpr
#else
#define UNROLL_SHAPE constexpr
#endif

namespace unroll {

/// Which recurrence, and where a GRU's reset gate acts.
enum class CellKind { kRnn, kLstm, kGruBefore, kGruAfter };

/// Gates of a cell, in the order in which they stand side by side: RNN {h}, LSTM {i, f, o, g},
/// GRU {z, r, n}.
UNROLL_SHAPE int gate_count(CellKind cell) {
  switch (cell) {
    case CellKind::kLstm:
      return 4;
    case CellKind::kGruBefore:
    case CellKind::kGruAfter:
      return 3;
    case CellKind::kRnn:
      break;
  }
  return 1;
}

}  // namespace unroll

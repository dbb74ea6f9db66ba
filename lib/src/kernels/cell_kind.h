#pragma once

// Functions that device code calls too are marked so where CUDA's compiler reads them.
#ifdef __CUDACC__
#define UNROLL_HOST_DEVICE __host__ __device__
#else
#define UNROLL_HOST_DEVICE
#endif

namespace unroll {

/// Which recurrence, and where a GRU's reset gate acts.
enum class CellKind { kRnn, kLstm, kGruBefore, kGruAfter };

/// Gates of a cell, in the order in which they stand side by side: RNN {h}, LSTM {i, f, o, g},
/// GRU {z, r, n}.
UNROLL_HOST_DEVICE constexpr int gate_count(CellKind cell) {
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

#pragma once

// Functions that device code calls too are marked so where CUDA's compiler reads them.
#ifdef __CUDACC__
#define UNROLL_HOST_DEVICE __host__ __device__
#else
#define UNROLL_HOST_DEVICE
#endif

namespace unroll {

/// The recurrences, and of a GRU where its reset gate acts.
enum class CellKind { kRnn, kRnnRelu, kLstm, kGruBefore, kGruAfter };

inline constexpr CellKind kAllCells[] = {CellKind::kRnn, CellKind::kRnnRelu, CellKind::kLstm,
                                         CellKind::kGruBefore, CellKind::kGruAfter};

/// A gate, or the candidate.
struct GateEntry {
  const char* suffix;  ///< of the notebook's names: "z" of W_xz, W_hz, b_z
  int torch_position;  ///< where it stands in torch::nn's stacks
};

/// What a cell is made of, but for its formulas.
///
/// Initial weights, the conversions to and from torch::nn, the counts of parameters and operations
/// and the kernels read it. A cell's formulas are in models/ (scratch), kernels/cpu and
/// kernels/cuda.
struct CellTable {
  GateEntry gates[4];  ///< in the order in which kernels and scratch parameters have them
  int gate_count;
  int state_count;      ///< 1: h; 2: h and c
  bool has_b_hh;        ///< a second bias of the last gate, under the reset gate
  bool has_torch_form;  ///< whether torch::nn computes the same
};

/// The table of a cell.
UNROLL_HOST_DEVICE constexpr CellTable table_of(CellKind cell) {
  switch (cell) {
    case CellKind::kLstm:
      return {{{"i", 0}, {"f", 1}, {"o", 3}, {"c", 2}}, 4, 2, false, true};
    case CellKind::kGruBefore:
      return {{{"z", 1}, {"r", 0}, {"h", 2}}, 3, 1, false, false};
    case CellKind::kGruAfter:
      return {{{"z", 1}, {"r", 0}, {"h", 2}}, 3, 1, true, true};
    case CellKind::kRnn:
    case CellKind::kRnnRelu:
      break;
  }
  return {{{"h", 0}}, 1, 1, false, true};
}

UNROLL_HOST_DEVICE constexpr int gate_count(CellKind cell) { return table_of(cell).gate_count; }

/// Whether a cell has one gate, the candidate, which is the new state.
UNROLL_HOST_DEVICE constexpr bool is_simple(CellKind cell) { return gate_count(cell) == 1; }

/// Whether a cell has a second state, c.
UNROLL_HOST_DEVICE constexpr bool has_c(CellKind cell) { return table_of(cell).state_count == 2; }

}  // namespace unroll

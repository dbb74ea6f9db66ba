#pragma once

#include "kernels/cell_kind.h"

// Shapes that the kernels and the host that plans for them agree on.

namespace unroll::cuda {

constexpr int kLanes = 32;
constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kLanes;

/// Columns and depth of a cell's products: forward with W_h, (H, columns a unit), and backward with
/// its transpose, (depth a unit, H). A GRU with the reset before the product has two, of which this
/// is the one of the first gates; the other's are one.
UNROLL_HOST_DEVICE constexpr int product_gates(CellKind cell) {
  return cell == CellKind::kGruBefore ? 2 : gate_count(cell);
}

/// Units of a cluster's block, and the most units of a layer, by the most that a kernel is for.
UNROLL_HOST_DEVICE constexpr int cluster_units(int most_hidden) {
  return most_hidden > 256 ? 64 : 32;
}

/// Lanes that share a row of so many columns; those that are left share the depth.
UNROLL_HOST_DEVICE constexpr int lanes_of(int columns) {
  return columns > 16 ? kLanes : columns > 8 ? 16 : 8;
}

/// Parts in which the depth of a product is summed up: in registers, and in shared memory.
UNROLL_HOST_DEVICE constexpr int shared_slices(int columns) {
  return kWarps * (kLanes / lanes_of(columns));
}

/// Logits that a block computes at a time, and the partial sums of them for one sequence.
constexpr int kLogits = kLanes;
constexpr int kLogitFloats = kWarps * kLogits;

/// What a cluster's exchange has in front of its values: two barriers of 8 bytes.
constexpr int kArrivalFloats = 4;

/// So that floats come in fours.
UNROLL_HOST_DEVICE constexpr int in_fours(int floats) { return (floats + 3) / 4 * 4; }

/// Where a block has what in its shared memory, in floats from its beginning.
struct BlockLayout {
  int depth;     // of what is exchanged, padded
  int second;    // the second product's weights, after the first's; in a grid
  int values;    // what is exchanged
  int partials;  // partial sums
  int end;
};

UNROLL_HOST_DEVICE constexpr BlockLayout cluster_layout(CellKind cell, bool is_backward,
                                                        int most_hidden, int S) {
  const int gates = product_gates(cell);
  const int depth = (is_backward ? gates : 1) * most_hidden;
  const int columns = (is_backward ? 1 : gates) * cluster_units(most_hidden);
  const int partials = kArrivalFloats + 2 * depth * S;
  return {depth, 0, 0, partials, partials + kWarps * S * columns};
}

UNROLL_HOST_DEVICE constexpr BlockLayout grid_layout(CellKind cell, bool is_backward, int hidden,
                                                     int units, int S) {
  const int gates = product_gates(cell);
  const int depth = in_fours((is_backward ? gates : 1) * hidden);
  const int columns = (is_backward ? 1 : gates) * units;
  const int second = in_fours(gates * hidden * units);
  const int values = second + (cell == CellKind::kGruBefore ? in_fours(hidden * units) : 0);
  const int partials = values + depth * S;
  const int first_sums = shared_slices(columns) * columns;
  const int second_sums = cell == CellKind::kGruBefore ? shared_slices(units) * units : 0;
  const int sums = first_sums > second_sums ? first_sums : second_sums;
  const int room = sums > kLogitFloats ? sums : kLogitFloats;
  return {depth, second, values, partials, partials + room * S};
}

}  // namespace unroll::cuda

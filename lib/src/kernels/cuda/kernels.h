#pragma once

#include "kernels/cuda/generation.h"
#include "kernels/cuda/recurrence.h"

namespace unroll::cuda {

// A kernel is compiled for a cell, a direction, S sequences of a group and a kind of operands. Its
// other sizes are arguments.

/// How blocks of a cluster hold up to kHidden units in registers (RegisterSlab, RegisterTileSlab).
/// In float32 W_h of 128 x 32 takes 8 of a thread's registers, of 512 x 64 it takes 64.
template <int kHidden>
struct ClusterShape {
  static constexpr int kUnits = cluster_units(kHidden);
  static constexpr int kDepth = kHidden / kWarps;
  static constexpr int kColumns = kUnits / kLanes;
};

/// What blocks multiply by: in a cluster kDepth rows a warp, kColumns columns a lane.
template <Operands kOperands>
struct Slabs {
  template <int kDepth, int kColumns>
  using InRegisters = RegisterSlab<kDepth, kColumns>;
  template <int kColumns>
  using InShared = SharedSlab<kColumns>;
};
template <>
struct Slabs<Operands::kBf16> {
  template <int kDepth, int kColumns>
  using InRegisters = RegisterTileSlab<kDepth / kTile, kColumns * kLanes / kTile>;
  template <int kColumns>
  using InShared = SharedTileSlab<kColumns>;
};

UNROLL_DEVICE Group group_of(int blocks, int units) {
  return {block_index() / blocks, block_count() / blocks, block_index() % blocks, units};
}

template <CellKind kCell, int kHidden, int S, Operands kOperands>
UNROLL_KERNEL(kThreads)
cluster_forward(const ForwardArguments a, const int blocks) {
  using Shape = ClusterShape<kHidden>;
  constexpr int kGates = product_gates(kCell);
  const BlockLayout at = cluster_layout(kCell, false, kHidden, S);
  const Group group = group_of(blocks, Shape::kUnits);
  ClusterExchange exchange(shared_memory() + at.values, at.depth, S, blocks);
  float* partials = shared_memory() + at.partials;
  typename Slabs<kOperands>::template InRegisters<Shape::kDepth, kGates * Shape::kColumns> slab;
  if constexpr (kCell == CellKind::kGruBefore) {
    typename Slabs<kOperands>::template InRegisters<Shape::kDepth, Shape::kColumns> state;
    gru_before_forward<S>(a, group, slab, state, exchange, partials);
  } else {
    forward<kCell, S>(a, group, slab, exchange, partials);
  }
}

template <CellKind kCell, int kHidden, int S, Operands kOperands>
UNROLL_KERNEL(kThreads)
cluster_backward(const BackwardArguments a, const int blocks) {
  using Shape = ClusterShape<kHidden>;
  constexpr int kGates = product_gates(kCell);
  const BlockLayout at = cluster_layout(kCell, true, kHidden, S);
  const Group group = group_of(blocks, Shape::kUnits);
  ClusterExchange exchange(shared_memory() + at.values, at.depth, S, blocks);
  float* partials = shared_memory() + at.partials;
  typename Slabs<kOperands>::template InRegisters<kGates * Shape::kDepth, Shape::kColumns> slab;
  if constexpr (kCell == CellKind::kGruBefore) {
    typename Slabs<kOperands>::template InRegisters<Shape::kDepth, Shape::kColumns> state;
    gru_before_backward<S>(a, group, slab, state, exchange, partials);
  } else {
    backward<kCell, S>(a, group, slab, exchange, partials);
  }
}

/// For cells without a second product.
struct NoSlab {};

template <CellKind kCell, int kHidden, int S>
UNROLL_KERNEL(kThreads)
cluster_generate(const GenerateArguments a, const int blocks) {
  using Shape = ClusterShape<kHidden>;
  const BlockLayout at = cluster_layout(kCell, false, kHidden, S);
  const Group group = group_of(blocks, Shape::kUnits);
  ClusterExchange exchange(shared_memory() + at.values, at.depth, S, blocks);
  float* partials = shared_memory() + at.partials;
  RegisterSlab<Shape::kDepth, product_gates(kCell) * Shape::kColumns> slab;
  if constexpr (kCell == CellKind::kGruBefore) {
    RegisterSlab<Shape::kDepth, Shape::kColumns> state;
    generate<kCell, S>(a, group, blocks, slab, state, exchange, partials);
  } else {
    NoSlab none;
    generate<kCell, S>(a, group, blocks, slab, none, exchange, partials);
  }
}

UNROLL_DEVICE GridExchange grid_exchange(const ExchangeMemory& memory, const BlockLayout& at,
                                         const Group& group, int S, int blocks) {
  return {shared_memory() + at.values,
          memory.values + static_cast<int64_t>(group.index) * 2 * at.depth * S,
          memory.arrivals + group.index,
          at.depth,
          S,
          blocks};
}

/// kColumns: of a lane, as in SharedSlab.
template <CellKind kCell, int kColumns, int S, Operands kOperands>
UNROLL_KERNEL(kThreads)
grid_forward(const ForwardArguments a, const int blocks, const int units) {
  using Slab = typename Slabs<kOperands>::template InShared<kColumns>;
  const Group group = group_of(blocks, units);
  const BlockLayout at = grid_layout(kCell, false, static_cast<int>(a.hidden), units, S, kOperands);
  GridExchange exchange = grid_exchange(a.exchange, at, group, S, blocks);
  float* partials = shared_memory() + at.partials;
  Slab slab(shared_memory());
  if constexpr (kCell == CellKind::kGruBefore) {
    Slab state(shared_memory() + at.second);
    gru_before_forward<S>(a, group, slab, state, exchange, partials);
  } else {
    forward<kCell, S>(a, group, slab, exchange, partials);
  }
}

template <CellKind kCell, int kColumns, int S, Operands kOperands>
UNROLL_KERNEL(kThreads)
grid_backward(const BackwardArguments a, const int blocks, const int units) {
  using Slab = typename Slabs<kOperands>::template InShared<kColumns>;
  const Group group = group_of(blocks, units);
  const BlockLayout at = grid_layout(kCell, true, static_cast<int>(a.hidden), units, S, kOperands);
  GridExchange exchange = grid_exchange(a.exchange, at, group, S, blocks);
  float* partials = shared_memory() + at.partials;
  Slab slab(shared_memory());
  if constexpr (kCell == CellKind::kGruBefore) {
    Slab state(shared_memory() + at.second);
    gru_before_backward<S>(a, group, slab, state, exchange, partials);
  } else {
    backward<kCell, S>(a, group, slab, exchange, partials);
  }
}

template <CellKind kCell, int kColumns, int S>
UNROLL_KERNEL(kThreads)
grid_generate(const GenerateArguments a, const int blocks, const int units) {
  const Group group = group_of(blocks, units);
  const BlockLayout at =
      grid_layout(kCell, false, static_cast<int>(a.hidden), units, S, Operands::kFloat32);
  GridExchange exchange = grid_exchange(a.exchange, at, group, S, blocks);
  float* partials = shared_memory() + at.partials;
  SharedSlab<kColumns> slab(shared_memory());
  if constexpr (kCell == CellKind::kGruBefore) {
    SharedSlab<kColumns> state(shared_memory() + at.second);
    generate<kCell, S>(a, group, blocks, slab, state, exchange, partials);
  } else {
    NoSlab none;
    generate<kCell, S>(a, group, blocks, slab, none, exchange, partials);
  }
}

}  // namespace unroll::cuda

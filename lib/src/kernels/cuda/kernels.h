#pragma once

#include "kernels/cuda/batch.h"
#include "kernels/cuda/generation.h"
#include "kernels/cuda/group.h"
#include "kernels/cuda/gru_before.h"
#include "kernels/cuda/matrix_copies.h"
#include "kernels/cuda/output_layer.h"
#include "kernels/cuda/recurrence.h"
#include "kernels/cuda/slab.h"
#include "kernels/cuda/tile_slab.h"
#include "kernels/cuda/token_sums.h"
#include "kernels/cuda/update.h"

namespace unroll::cuda {

// A layer's kernel is compiled for a cell, a direction, S sequences of a group and a kind of
// operands, when it is needed (kernel_name.h). Its other sizes are arguments. Those
// that need no plan are templates as well: what is no template would be compiled with each.

/// What the driver is asked with for how many clusters of blocks like the kernels' run at once.
UNROLL_KERNEL(kThreads, 1)
no_work() {}

/// How blocks of a cluster hold up to kHidden units in registers (RegisterSlab, RegisterTileSlab).
/// In float32 W_h of 128 x 32 takes 8 of a thread's registers, of 512 x 64 it takes 64; in bf16 of
/// 512 x 128 or 1024 x 64 it takes 64.
template <CellKind kCell, int kHidden>
struct ClusterShape {
  static constexpr int kUnits = cluster_units(kCell, kHidden);
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

/// Whether a layer's kernel with these arguments goes back.
template <typename Arguments>
inline constexpr bool kIsBackward = false;
template <>
inline constexpr bool kIsBackward<BackwardArguments> = true;

template <typename Arguments, CellKind kCell, int kHidden, int S, Operands kOperands>
UNROLL_KERNEL(kThreads, 1)
cluster_layer(const Arguments a, const int blocks) {
  using Shape = ClusterShape<kCell, kHidden>;
  using Kind = Slabs<kOperands>;
  constexpr int kGates = product_gates(kCell);
  constexpr bool kBack = kIsBackward<Arguments>;
  const BlockLayout at = cluster_layout(kCell, kBack, kHidden, S, kOperands);
  const Group group = group_of(blocks, Shape::kUnits);
  const int used = (static_cast<int>(a.hidden) + Shape::kUnits - 1) / Shape::kUnits;
  ClusterExchange<kOperands> exchange(shared_memory() + at.values, at.depth, S, used);
  if (group.rank >= used) {  // it fills up the cluster
    exchange.begin();
    exchange.end();
    return;
  }
  float* partials = shared_memory() + at.partials;
  typename Kind::template InRegisters<(kBack ? kGates : 1) * Shape::kDepth,
                                      (kBack ? 1 : kGates) * Shape::kColumns>
      slab;
  if constexpr (kCell == CellKind::kGruBefore) {
    typename Kind::template InRegisters<Shape::kDepth, Shape::kColumns> state;
    run_gru_before<S>(a, group, slab, state, exchange, partials);
  } else {
    run_layer<kCell, S>(a, group, slab, exchange, partials);
  }
}

/// For cells without a second product.
struct NoSlab {};

template <CellKind kCell, int kHidden, int S>
UNROLL_KERNEL(kThreads, 1)
cluster_generate(const GenerateArguments a, const int blocks) {
  using Shape = ClusterShape<kCell, kHidden>;
  const BlockLayout at = cluster_layout(kCell, false, kHidden, S, Operands::kFloat32);
  const Group group = group_of(blocks, Shape::kUnits);
  ClusterExchange<Operands::kFloat32> exchange(shared_memory() + at.values, at.depth, S, blocks);
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

template <Operands kOperands>
UNROLL_DEVICE GridExchange<kOperands> grid_exchange(const ExchangeMemory& memory,
                                                    const BlockLayout& at, const Group& group,
                                                    int S, int blocks) {
  return {shared_memory() + at.values,
          memory.words + static_cast<int64_t>(group.index) * 2 * at.depth * S,
          memory.arrivals + group.index,
          at.depth,
          S,
          blocks};
}

/// kColumns: of a lane, as in SharedSlab.
template <typename Arguments, CellKind kCell, int kColumns, int S, Operands kOperands>
UNROLL_KERNEL(kThreads, 1)
grid_layer(const Arguments a, const int blocks, const int units) {
  using Slab = typename Slabs<kOperands>::template InShared<kColumns>;
  const Group group = group_of(blocks, units);
  const BlockLayout at =
      grid_layout(kCell, kIsBackward<Arguments>, static_cast<int>(a.hidden), units, S, kOperands);
  auto exchange = grid_exchange<kOperands>(a.exchange, at, group, S, blocks);
  float* partials = shared_memory() + at.partials;
  Slab slab(shared_memory());
  if constexpr (kCell == CellKind::kGruBefore) {
    Slab state(shared_memory() + at.second);
    run_gru_before<S>(a, group, slab, state, exchange, partials);
  } else {
    run_layer<kCell, S>(a, group, slab, exchange, partials);
  }
}

template <CellKind kCell, int kColumns, int S>
UNROLL_KERNEL(kThreads, 1)
grid_generate(const GenerateArguments a, const int blocks, const int units) {
  const Group group = group_of(blocks, units);
  const BlockLayout at =
      grid_layout(kCell, false, static_cast<int>(a.hidden), units, S, Operands::kFloat32);
  auto exchange = grid_exchange<Operands::kFloat32>(a.exchange, at, group, S, blocks);
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

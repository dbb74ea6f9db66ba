#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/cells.h"
#include "kernels/cuda/group.h"
#include "kernels/cuda/product_weights.h"

namespace unroll::cuda {

// All time steps of a layer whose gates all follow from the previous state. The cell whose gates do
// not is in gru_before.h.

template <CellKind kCell, int S, typename Slab, typename Exchange>
UNROLL_DEVICE void run_layer(const ForwardArguments& a, const Group& group, Slab& slab,
                             Exchange& exchange, float* partials) {
  constexpr int kGates = gate_count(kCell);
  const int hidden = static_cast<int>(a.hidden);
  const int rows = gate_rows(hidden, Exchange::kOperands);
  slab.load(
      hidden, kGates * group.units,
      ForwardWeights<kGates>{a.W_h, kGates * hidden, hidden, group.units, first_unit_of(group)});
  exchange.begin();
  TilePlace<S> mine(group, a.hidden, a.batch_size);
  const int64_t tiles = tiles_of(a.batch_size, S);
  for (int64_t tile = group.index; tile < tiles; tile += group.count) {
    mine.set_tile(tile);
    const Place& at = mine.place();
    Cell<kCell> cell;
    if (mine.has_work()) {
      cell.begin(a, at);
    }
    for (int64_t t = 0; t < a.steps; ++t) {
      publish(exchange, mine, 0, cell.h);
      close<S>(exchange, rows);
      if (t > 0 && mine.has_work()) {
        cell.keep(a, at, t - 1);  // now that nobody waits for it
      }
      float x[kGates] = {};
      if (mine.has_work()) {
        load_x(a, at, t, x);  // the loads overlap the product
      }
      slab.template multiply<S>(receive<S>(exchange, rows), partials);
      sync_block();
      if (mine.has_work()) {
        float sums[kGates];
        load_sums<S>(partials, slab.slices(), group, mine, sums);
        cell.step(sums, x);
      }
    }
    if (mine.has_work()) {
      cell.keep(a, at, a.steps - 1);
    }
  }
  exchange.end();
}

template <CellKind kCell, int S, typename Slab, typename Exchange>
UNROLL_DEVICE void run_layer(const BackwardArguments& a, const Group& group, Slab& slab,
                             Exchange& exchange, float* partials) {
  constexpr int kGates = gate_count(kCell);
  const int hidden = static_cast<int>(a.hidden);
  const int rows = gate_rows(hidden, Exchange::kOperands);
  slab.load(kGates * rows, group.units,
            BackwardWeights<kGates>{a.W_h_t, rows, hidden, group.units, first_unit_of(group)});
  exchange.begin();
  TilePlace<S> mine(group, a.hidden, a.batch_size);
  const int64_t tiles = tiles_of(a.batch_size, S);
  for (int64_t tile = group.index; tile < tiles; tile += group.count) {
    mine.set_tile(tile);
    const Place& at = mine.place();
    CellBack<kCell> cell;
    typename CellBack<kCell>::Saved saved{};
    float dh = 0;  // by the state, from later time steps
    if (mine.has_work()) {
      dh = a.dh_after != nullptr ? a.dh_after[at.once()] : 0.0F;
      cell.begin(a, at);
      saved = CellBack<kCell>::load(a, at, a.steps - 1);
    }
    for (int64_t t = a.steps - 1; t >= 0; --t) {
      float published[kGates] = {};
      if (mine.has_work()) {
        cell.step_back(saved, saved.dh + dh, published);
      }
      const bool goes_on = t > 0 || a.dh_before != nullptr;
      if (goes_on) {
        UNROLL_LOOP
        for (int gate = 0; gate < kGates; ++gate) {
          publish(exchange, mine, gate * rows, published[gate]);
        }
        close<S>(exchange, kGates * rows);
      }
      if (mine.has_work()) {
        cell.keep(a, at, t, published);  // now that nobody waits for it
      }
      if (!goes_on) {
        break;
      }
      if (t > 0 && mine.has_work()) {
        saved = CellBack<kCell>::load(a, at, t - 1);
      }
      slab.template multiply<S>(receive<S>(exchange, kGates * rows), partials);
      sync_block();
      dh = mine.has_work()
               ? cell.carry() + sum_of<S>(partials, slab.slices(), group.units, mine.s(), mine.u())
               : 0.0F;
    }
    if (mine.has_work()) {
      if (a.dh_before != nullptr) {
        a.dh_before[at.once()] = dh;
      }
      cell.end(a, at);
    }
  }
  exchange.end();
}

}  // namespace unroll::cuda

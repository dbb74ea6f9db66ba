#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/cells.h"
#include "kernels/cuda/group.h"
#include "kernels/cuda/product_weights.h"

namespace unroll::cuda {

/// The weights of a GRU whose reset gate acts before the product.
template <typename GatesSlab, typename StateSlab>
UNROLL_DEVICE void load_gru_before(const float* W_h, int hidden, const Group& group,
                                   GatesSlab& gates_slab, StateSlab& state_slab) {
  const int first = first_unit_of(group);
  gates_slab.load(hidden, 2 * group.units,
                  ForwardWeights<2>{W_h, 3 * hidden, hidden, group.units, first});
  state_slab.load(
      hidden, group.units,
      ForwardWeights<1>{W_h + int64_t{2} * hidden, 3 * hidden, hidden, group.units, first});
}

/// Such a GRU has two products a time step; the second is that of the reset state.
template <int S, typename GatesSlab, typename StateSlab, typename Exchange>
UNROLL_DEVICE void run_gru_before(const ForwardArguments& a, const Group& group,
                                  GatesSlab& gates_slab, StateSlab& state_slab, Exchange& exchange,
                                  float* partials) {
  const int hidden = static_cast<int>(a.hidden);
  const int rows = gate_rows(hidden, Exchange::kOperands);
  load_gru_before(a.W_h, hidden, group, gates_slab, state_slab);
  exchange.begin();
  TilePlace<S> mine(group, a.hidden, a.batch_size);
  const int64_t tiles = tiles_of(a.batch_size, S);
  for (int64_t tile = group.index; tile < tiles; tile += group.count) {
    mine.set_tile(tile);
    const Place& at = mine.place();
    float h = mine.has_work() ? a.h_before[at.once()] : 0.0F;
    for (int64_t t = 0; t < a.steps; ++t) {
      publish(exchange, mine, 0, h);
      close<S>(exchange, rows);
      float x[3] = {};
      if (mine.has_work()) {
        load_x(a, at, t, x);
      }
      gates_slab.template multiply<S>(receive<S>(exchange, rows), partials);
      sync_block();
      float z = 0;
      float r = 0;
      float reset = 0;
      if (mine.has_work()) {
        float sums[2];
        load_sums<S>(partials, gates_slab.slices(), group, mine, sums);
        z = sigmoid(x[0] + sums[0]);
        r = sigmoid(x[1] + sums[1]);
        reset = r * h;
      }
      publish(exchange, mine, 0, reset);
      close<S>(exchange, rows);
      if (mine.has_work()) {
        a.gates[at.gate(t, 3, 0)] = z;  // now that nobody waits for it
        a.gates[at.gate(t, 3, 1)] = r;
        a.p[at.state(t)] = reset;
      }
      state_slab.template multiply<S>(receive<S>(exchange, rows), partials);
      sync_block();
      if (mine.has_work()) {
        const float n =
            tanhf(x[2] + sum_of<S>(partials, state_slab.slices(), group.units, mine.s(), mine.u()));
        h = z * h + (1.0F - z) * n;
        a.gates[at.gate(t, 3, 2)] = n;
        a.h[at.state(t)] = h;
      }
    }
  }
  exchange.end();
}

/// Backward: first through the product of the reset state, then through that of the first gates.
template <int S, typename GatesSlab, typename StateSlab, typename Exchange>
UNROLL_DEVICE void run_gru_before(const BackwardArguments& a, const Group& group,
                                  GatesSlab& gates_slab, StateSlab& state_slab, Exchange& exchange,
                                  float* partials) {
  const int hidden = static_cast<int>(a.hidden);
  const int rows = gate_rows(hidden, Exchange::kOperands);
  const int first = first_unit_of(group);
  gates_slab.load(2 * rows, group.units,
                  BackwardWeights<2>{a.W_h_t, rows, hidden, group.units, first});
  state_slab.load(
      rows, group.units,
      BackwardWeights<1>{a.W_h_t + 2 * a.hidden * a.hidden, rows, hidden, group.units, first});
  exchange.begin();
  TilePlace<S> mine(group, a.hidden, a.batch_size);
  const int64_t tiles = tiles_of(a.batch_size, S);
  for (int64_t tile = group.index; tile < tiles; tile += group.count) {
    mine.set_tile(tile);
    const Place& at = mine.place();
    float dh = mine.has_work() && a.dh_after != nullptr ? a.dh_after[at.once()] : 0.0F;
    for (int64_t t = a.steps - 1; t >= 0; --t) {
      float z = 0;
      float r = 0;
      float h_before = 0;
      float dz = 0;
      float dn = 0;
      float past = 0;
      if (mine.has_work()) {
        z = a.gates[at.gate(t, 3, 0)];
        r = a.gates[at.gate(t, 3, 1)];
        const float n = a.gates[at.gate(t, 3, 2)];
        h_before = t > 0 ? a.h[at.state(t - 1)] : a.h_before[at.once()];
        const float total = a.dh[at.state(t)] + dh;
        dz = total * (h_before - n) * sigmoid_slope(z);
        dn = total * (1.0F - z) * tanh_slope(n);
        past = total * z;
      }
      publish(exchange, mine, 0, dn);
      close<S>(exchange, rows);
      if (mine.has_work()) {
        a.dz[at.gate(t, 3, 0)] = dz;
        a.dz[at.gate(t, 3, 2)] = dn;
      }
      state_slab.template multiply<S>(receive<S>(exchange, rows), partials);
      sync_block();
      float dr = 0;
      if (mine.has_work()) {
        const float dreset =
            sum_of<S>(partials, state_slab.slices(), group.units, mine.s(), mine.u());
        dr = dreset * h_before * sigmoid_slope(r);
        past += dreset * r;
      }
      const bool goes_on = t > 0 || a.dh_before != nullptr;
      if (goes_on) {
        publish(exchange, mine, 0, dz);
        publish(exchange, mine, rows, dr);
        close<S>(exchange, 2 * rows);
      }
      if (mine.has_work()) {
        a.dz[at.gate(t, 3, 1)] = dr;
      }
      if (!goes_on) {
        break;
      }
      gates_slab.template multiply<S>(receive<S>(exchange, 2 * rows), partials);
      sync_block();
      if (mine.has_work()) {
        dh = past + sum_of<S>(partials, gates_slab.slices(), group.units, mine.s(), mine.u());
      }
    }
    if (mine.has_work() && a.dh_before != nullptr) {
      a.dh_before[at.once()] = dh;
    }
  }
  exchange.end();
}

}  // namespace unroll::cuda

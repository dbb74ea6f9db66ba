#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/cells.h"
#include "kernels/cuda/exchange.h"
#include "kernels/cuda/slab.h"

namespace unroll::cuda {

/// Who computes what: each block of a group computes the next `units` units, each group the next S
/// sequences.
struct Group {
  int index;  // of this group
  int count;  // of groups
  int rank;   // of this block in its group
  int units;  // of a block
};

/// A thread's part of its group's tiles: at most one unit of one sequence. Neighbours have the same
/// unit of the next sequence, as what is exchanged and what is summed up lies in memory.
template <int S>
class TilePlace {
 public:
  UNROLL_DEVICE TilePlace(const Group& group, int64_t hidden, int64_t batch_size)
      : s_(thread_index() % S), u_(thread_index() / S) {
    place_.hidden = hidden;
    place_.batch_size = batch_size;
    place_.unit = static_cast<int64_t>(group.rank) * group.units + u_;
    has_unit_ = u_ < group.units && place_.unit < hidden;
    has_pair_ = u_ < group.units && place_.unit - u_ % 2 < hidden;
  }

  UNROLL_DEVICE void set_tile(int64_t tile) { place_.b = tile * S + s_; }

  UNROLL_DEVICE int s() const { return s_; }
  /// Among the block's.
  UNROLL_DEVICE int u() const { return u_; }
  /// Among all.
  UNROLL_DEVICE int unit() const { return static_cast<int>(place_.unit); }
  /// Whether there is a unit, at least one of two neighbours, and also a sequence.
  UNROLL_DEVICE bool has_unit() const { return has_unit_; }
  UNROLL_DEVICE bool has_pair() const { return has_pair_; }
  UNROLL_DEVICE bool has_work() const { return has_unit_ && place_.b < place_.batch_size; }
  UNROLL_DEVICE const Place& place() const { return place_; }

 private:
  Place place_{};
  int s_;
  int u_;
  bool has_unit_ = false;
  bool has_pair_ = false;
};

/// Gives a value of each unit to all blocks of the group, in the rows from `first` on; 0 from
/// threads without work. All threads call it.
template <int S, typename Exchange>
UNROLL_DEVICE void publish(Exchange& exchange, const TilePlace<S>& mine, int first, float value) {
  if constexpr (Exchange::kOperands == Operands::kBf16) {
    // A block has an even number of units: the next one, of the same sequence, is S lanes further.
    const float others = shuffle_xor(value, S);
    const int which = mine.u() % 2;
    const uint32_t both = which == 0 ? round_to_bf16(value, others) : round_to_bf16(others, value);
    if (mine.has_pair()) {
      exchange.template publish<S, 2>((first + mine.unit()) / 2, mine.s(), both, which);
    }
  } else if (mine.has_unit()) {
    exchange.template publish<S>(first + mine.unit(), mine.s(), value);
  }
}

/// Likewise, of so many rows that all publish.
template <int S, typename Exchange>
UNROLL_DEVICE void close(Exchange& exchange, int rows) {
  exchange.template close<S>(rows / values_of_word(Exchange::kOperands));
}
template <int S, typename Exchange>
UNROLL_DEVICE const typename Exchange::Word* receive(Exchange& exchange, int rows) {
  return exchange.template receive<S>(rows / values_of_word(Exchange::kOperands));
}

/// A product's column n for sequence s: the sum of the partial sums.
template <int S>
UNROLL_DEVICE float sum_of(const float* partials, int slices, int columns, int s, int n) {
  float total = 0;
  for (int slice = 0; slice < slices; ++slice) {
    total += partials[(slice * columns + n) * S + s];
  }
  return total;
}

UNROLL_DEVICE int64_t tiles_of(int64_t batch_size, int S) { return (batch_size + S - 1) / S; }

/// A unit's part of a row of shares in the gates.
template <int kGates>
UNROLL_DEVICE void load_row(const float* shares, int64_t row, const Place& at, float (&x)[kGates]) {
  UNROLL_LOOP
  for (int gate = 0; gate < kGates; ++gate) {
    x[gate] = shares[(row * kGates + gate) * at.hidden + at.unit];
  }
}

/// The inputs' share in a unit's gates at time step t.
template <int kGates>
UNROLL_DEVICE void load_x(const ForwardArguments& a, const Place& at, int64_t t,
                          float (&x)[kGates]) {
  const int64_t i = t * a.batch_size + at.b;
  load_row(a.x, a.row != nullptr ? a.row[i] : i, at, x);
}

/// A unit's gates of a product.
template <int S, int kGates>
UNROLL_DEVICE void load_sums(const float* partials, int slices, const Group& group,
                             const TilePlace<S>& mine, float (&sums)[kGates]) {
  UNROLL_LOOP
  for (int gate = 0; gate < kGates; ++gate) {
    sums[gate] =
        sum_of<S>(partials, slices, kGates * group.units, mine.s(), gate * group.units + mine.u());
  }
}

// The weights of the products, as slabs take them. A matrix of a layer that has a plan has fewer
// than 2^31 weights.

/// Column n of the forward product is unit n % units of gate n / units of the block.
template <int kGates>
struct ForwardWeights {
  const float* W_h;  // (H, all gates * H), from the first of these gates on
  int row;           // floats of a row
  int hidden;
  int units;
  int first_unit;

  UNROLL_DEVICE int column(int n) const {
    const int gate = n / units;
    const int unit = first_unit + n - gate * units;
    return gate < kGates && unit < hidden ? gate * hidden + unit : -1;
  }
  UNROLL_DEVICE float at(int k, int column) const {
    return column >= 0 ? W_h[k * row + column] : 0.0F;
  }
};

/// Column n of the backward product is unit n of the block.
template <int kGates>
struct BackwardWeights {
  const float* W_h_t;  // (kGates * H, H)
  int rows;            // of a gate: gate_rows
  int hidden;
  int units;
  int first_unit;

  UNROLL_DEVICE int column(int n) const {
    const int unit = first_unit + n;
    return n < units && unit < hidden ? unit : -1;
  }
  UNROLL_DEVICE float at(int k, int column) const {
    int gate = 0;
    UNROLL_LOOP
    for (int next = 1; next < kGates; ++next) {
      gate += k >= next * rows ? 1 : 0;
    }
    // The row that fills a gate's last word is multiplied by zeros: any weight will do.
    const int row = k - gate * (rows - hidden);
    const int last = kGates * hidden - 1;
    return column >= 0 ? W_h_t[(row < last ? row : last) * hidden + column] : 0.0F;
  }
};

UNROLL_DEVICE int first_unit_of(const Group& group) { return group.rank * group.units; }

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

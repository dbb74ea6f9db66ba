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

UNROLL_DEVICE int first_unit_of(const Group& group) { return group.rank * group.units; }

UNROLL_DEVICE int64_t tiles_of(int64_t batch_size, int S) { return (batch_size + S - 1) / S; }

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

}  // namespace unroll::cuda

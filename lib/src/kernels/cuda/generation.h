#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/cells.h"
#include "kernels/cuda/group.h"
#include "kernels/cuda/gru_before.h"
#include "kernels/cuda/product_weights.h"
#include "kernels/cuda/slab.h"

namespace unroll::cuda {

// The layer of a model that generates, one unit a thread. In each step all threads call
//
//   multiply(values, partials)      with the received state, then sync_block()
//   gather(partials)                its sums, in threads that have work
//   step(x, ...)                    the new state, h(); a GRU with the reset before the product
//                                   exchanges its reset state here
template <CellKind kCell, int S, typename Slab, typename StateSlab>
class GeneratingLayer {
  static constexpr int kGates = gate_count(kCell);

 public:
  UNROLL_DEVICE GeneratingLayer(Slab& slab, StateSlab& /*unused*/, const Group& group)
      : slab_(slab), group_(group) {}

  UNROLL_DEVICE void load(const GenerateArguments& a) {
    const int hidden = static_cast<int>(a.hidden);
    slab_.load(hidden, kGates * group_.units,
               ForwardWeights<kGates>{a.W_h, kGates * hidden, hidden, group_.units,
                                      first_unit_of(group_)});
  }
  UNROLL_DEVICE void begin(const GenerateArguments& a, const TilePlace<S>& mine) {
    cell_ = Cell<kCell>();
    if (mine.has_work()) {
      cell_.begin(a, mine.place());
    }
  }
  UNROLL_DEVICE void end(const GenerateArguments& a, const Place& at) const {
    a.h_after[at.once()] = cell_.h;
    if constexpr (has_c(kCell)) {
      a.c_after[at.once()] = cell_.c;
    }
  }
  UNROLL_DEVICE float h() const { return cell_.h; }

  UNROLL_DEVICE void multiply(const float* values, float* partials) const {
    slab_.template multiply<S>(values, partials);
  }
  UNROLL_DEVICE void gather(const float* partials, const TilePlace<S>& mine) {
    load_sums<S>(partials, slab_.slices(), group_, mine, sums_);
  }
  template <typename Exchange>
  UNROLL_DEVICE void step(const float (&x)[kGates], int, const TilePlace<S>& mine, Exchange&,
                          float*) {
    if (mine.has_work()) {
      cell_.step(sums_, x);
    }
  }

 private:
  Slab& slab_;
  const Group& group_;
  Cell<kCell> cell_;
  float sums_[kGates] = {};
};

template <int S, typename GatesSlab, typename StateSlab>
class GeneratingLayer<CellKind::kGruBefore, S, GatesSlab, StateSlab> {
 public:
  UNROLL_DEVICE GeneratingLayer(GatesSlab& gates_slab, StateSlab& state_slab, const Group& group)
      : gates_slab_(gates_slab), state_slab_(state_slab), group_(group) {}

  UNROLL_DEVICE void load(const GenerateArguments& a) {
    load_gru_before(a.W_h, static_cast<int>(a.hidden), group_, gates_slab_, state_slab_);
  }
  UNROLL_DEVICE void begin(const GenerateArguments& a, const TilePlace<S>& mine) {
    h_ = mine.has_work() ? a.h_before[mine.place().once()] : 0.0F;
  }
  UNROLL_DEVICE void end(const GenerateArguments& a, const Place& at) const {
    a.h_after[at.once()] = h_;
  }
  UNROLL_DEVICE float h() const { return h_; }

  UNROLL_DEVICE void multiply(const float* values, float* partials) const {
    gates_slab_.template multiply<S>(values, partials);
  }
  UNROLL_DEVICE void gather(const float* partials, const TilePlace<S>& mine) {
    load_sums<S>(partials, gates_slab_.slices(), group_, mine, sums_);
  }
  template <typename Exchange>
  UNROLL_DEVICE void step(const float (&x)[3], int hidden, const TilePlace<S>& mine,
                          Exchange& exchange, float* partials) {
    const float r = mine.has_work() ? sigmoid(x[1] + sums_[1]) : 0.0F;
    publish(exchange, mine, 0, r * h_);
    close<S>(exchange, hidden);
    state_slab_.template multiply<S>(receive<S>(exchange, hidden), partials);
    sync_block();
    if (mine.has_work()) {
      float sum[1];
      load_sums<S>(partials, state_slab_.slices(), group_, mine, sum);
      const float z = sigmoid(x[0] + sums_[0]);
      h_ = z * h_ + (1.0F - z) * tanhf(x[2] + sum[0]);
    }
  }

 private:
  GatesSlab& gates_slab_;
  StateSlab& state_slab_;
  const Group& group_;
  float h_ = 0;
  float sums_[2] = {};
};

/// The likeliest token so far, of equals the first. It is -1 until there is a logit above -infinity
/// that is not NaN. Its index is exact as a float: see has_generation.
struct Likeliest {
  float logit = -INFINITY;
  float token = -1;

  UNROLL_DEVICE void see(float other_logit, float other_token) {
    if (other_logit > logit || (other_logit == logit && other_token < token)) {
      logit = other_logit;
      token = other_token;
    }
  }
};

/// The likeliest token of the block's part of the vocabulary: thread s < S returns sequence s's. No
/// thread may still use `partials` when this begins. They are free again once the group has
/// received what the first S threads then publish.
template <int S>
UNROLL_DEVICE Likeliest likeliest_of_block(const GenerateArguments& a, const Group& group,
                                           int blocks, const float* values, float* partials) {
  const int64_t each = (a.vocab_size + blocks - 1) / blocks;
  const int64_t begin = group.rank * each;
  const int64_t end = begin + each < a.vocab_size ? begin + each : a.vocab_size;
  const int s = thread_index() / kLogits;
  const int n = thread_index() % kLogits;
  Likeliest mine;
  for (int64_t first = begin; first < end; first += kLogits) {
    const int columns = end - first < kLogits ? static_cast<int>(end - first) : kLogits;
    multiply_memory<1, S>(a.W_hq + first, a.vocab_size, static_cast<int>(a.hidden), columns, values,
                          partials);
    sync_block();
    const int64_t token = first + n;
    if (s < S && n < columns && token != a.never) {
      const float sum = sum_of<S>(partials, shared_slices(columns), columns, s, n);
      mine.see(sum + a.b_q[token], static_cast<float>(token));
    }
    sync_block();
  }
  if (s < S) {
    partials[s * 2 * kLogits + n] = mine.logit;
    partials[s * 2 * kLogits + kLogits + n] = mine.token;
  }
  sync_block();
  Likeliest all;
  if (thread_index() < S) {
    const float* of_sequence = partials + thread_index() * 2 * kLogits;
    for (int i = 0; i < kLogits; ++i) {
      all.see(of_sequence[i], of_sequence[kLogits + i]);
    }
  }
  return all;
}

/// What the blocks of a group found for sequence s: `values` [2 * rank] logits, [2 * rank + 1]
/// tokens.
template <int S>
UNROLL_DEVICE int64_t likeliest_of_group(const float* values, int blocks, int s) {
  Likeliest all;
  for (int rank = 0; rank < blocks; ++rank) {
    all.see(values[2 * rank * S + s], values[(2 * rank + 1) * S + s]);
  }
  return static_cast<int64_t>(all.token);
}

/// All steps of a continuation, `blocks` a group. A group exchanges twice a step: the state, and
/// each block's likeliest token in its part of the vocabulary. A GRU with the reset before the
/// product exchanges a third time.
template <CellKind kCell, int S, typename Slab, typename StateSlab, typename Exchange>
UNROLL_DEVICE void generate(const GenerateArguments& a, const Group& group, int blocks, Slab& slab,
                            StateSlab& state_slab, Exchange& exchange, float* partials) {
  constexpr int kGates = gate_count(kCell);
  const int hidden = static_cast<int>(a.hidden);
  GeneratingLayer<kCell, S, Slab, StateSlab> layer(slab, state_slab, group);
  layer.load(a);
  exchange.begin();
  TilePlace<S> mine(group, a.hidden, a.batch_size);
  const int64_t tiles = tiles_of(a.batch_size, S);
  for (int64_t tile = group.index; tile < tiles; tile += group.count) {
    mine.set_tile(tile);
    const Place& at = mine.place();
    const int64_t sequences =
        a.batch_size - tile * S < S ? a.batch_size - tile * S : static_cast<int64_t>(S);
    layer.begin(a, mine);
    for (int64_t t = 0; t <= a.steps; ++t) {
      publish(exchange, mine, 0, layer.h());
      close<S>(exchange, hidden);
      const float* values = receive<S>(exchange, hidden);
      layer.multiply(values, partials);
      sync_block();
      if (mine.has_work()) {
        layer.gather(partials, mine);
      }
      const int64_t* fed = a.fed + t * a.batch_size + tile * S;
      bool is_asked = t == a.steps;
      if (t > 0 && t < a.steps) {
        for (int64_t s = 0; s < sequences; ++s) {
          is_asked = is_asked || fed[s] < 0;
        }
      }
      int64_t likeliest = -1;
      if (is_asked) {
        sync_block();
        const Likeliest own = likeliest_of_block<S>(a, group, blocks, values, partials);
        if (thread_index() < S) {
          exchange.template publish<S>(2 * group.rank, thread_index(), own.logit);
          exchange.template publish<S>(2 * group.rank + 1, thread_index(), own.token);
        }
        close<S>(exchange, 2 * blocks);
        const float* found = receive<S>(exchange, 2 * blocks);
        likeliest = likeliest_of_group<S>(found, blocks, mine.s());
        if (group.rank == 0 && thread_index() < sequences) {
          a.taken[(t - 1) * a.batch_size + tile * S + thread_index()] =
              likeliest_of_group<S>(found, blocks, thread_index());
        }
        sync_block();
      }
      if (t == a.steps) {
        break;
      }
      float x[kGates] = {};
      if (mine.has_work()) {
        const int64_t given = fed[mine.s()];
        const int64_t token = given >= 0 ? given : likeliest;
        load_row(a.x, token >= 0 ? token : 0, at, x);  // without a likeliest token, any
      }
      layer.step(x, hidden, mine, exchange, partials);
    }
    if (mine.has_work()) {
      layer.end(a, at);
    }
  }
  exchange.end();
}

}  // namespace unroll::cuda

#include "kernels/cpu/cells.h"

#include <type_traits>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cells.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

#include "kernels/cpu/tile_unit-inl.h"
#include "kernels/cpu/views-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Vector = Float;
constexpr FloatTag kTag;
constexpr int64_t kLanes = hn::MaxLanes(FloatTag());

/// 1 / x for an x that is neither very small nor very large: an approximation, and unless it is to
/// be `rough`, to 12 bits, a step of Newton's.
template <bool rough>
HWY_INLINE Vector reciprocal(Vector x) {
  const auto r = hn::ApproximateReciprocal(x);
  return rough ? r : hn::Mul(r, hn::NegMulAdd(x, r, hn::Set(kTag, 2.0F)));
}

/// tanh to 3e-7 of its value: x P(x^2) / Q(x^2), a minimax fit on [-8, 8], where float32 has all
/// but reached 1. A third of the time of Highway's Tanh (unroll_kernels_benchmark
/// --benchmark_filter=RnnForward), whose last bit counts where 1 - tanh^2 is all that is left of a
/// gradient: for sums of tiles, which have that error themselves.
template <bool rough>
HWY_INLINE Vector quick_tanh(Vector x) {
  const auto c = [](float value) HWY_ATTR { return hn::Set(kTag, value); };
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  // In this order of arguments what is not a number stays so.
  const auto bounded = hn::Max(c(-8.0F), hn::Min(c(8.0F), x));
#else
  const auto below = hn::IfThenElse(hn::Gt(x, c(8.0F)), c(8.0F), x);
  const auto bounded = hn::IfThenElse(hn::Lt(below, c(-8.0F)), c(-8.0F), below);
#endif
  const auto s = hn::Mul(bounded, bounded);
  auto p = c(1.5230377e-8F);
  p = hn::MulAdd(p, s, c(2.1894633e-5F));
  p = hn::MulAdd(p, s, c(3.5715963e-3F));
  p = hn::MulAdd(p, s, c(0.13444497F));
  p = hn::MulAdd(p, s, c(1.0F));
  auto q = c(8.5224301e-7F);
  q = hn::MulAdd(q, s, c(3.4112892e-4F));
  q = hn::MulAdd(q, s, c(2.6164436e-2F));
  q = hn::MulAdd(q, s, c(0.46777824F));
  q = hn::MulAdd(q, s, c(1.0F));
  return hn::Mul(hn::Mul(bounded, p), reciprocal<rough>(q));
}

/// Accurate to 3e-7 of its value, however small.
HWY_INLINE Vector sigmoid(Vector x) {
  // exp stays finite: at -88 the result is about the smallest that a float has. Neither Max nor
  // Highway's Exp keeps what is not a number, by which a training that diverges is told.
  const auto bounded = hn::Max(x, hn::Set(kTag, -88.0F));
  const auto one = hn::Set(kTag, 1.0F);
  const auto result = hn::Div(one, hn::Add(one, hn::Exp(kTag, hn::Neg(bounded))));
  return hn::IfThenElse(hn::Eq(x, x), result, x);
}

/// Accurate to 2e-7 of 1, which is what a sum of tiles is worth.
template <bool rough>
HWY_INLINE Vector sigmoid_by_tanh(Vector x) {
  const auto half = hn::Set(kTag, 0.5F);
  return hn::MulAdd(half, quick_tanh<rough>(hn::Mul(half, x)), half);
}

/// y (1 - y), sigmoid's derivative by its value.
HWY_INLINE Vector sigmoid_slope(Vector y) { return hn::NegMulAdd(y, y, y); }
/// g (1 - y^2), a gradient through tanh.
HWY_INLINE Vector through_tanh(Vector g, Vector y) { return hn::NegMulAdd(hn::Mul(g, y), y, g); }

HWY_INLINE Vector load(const float* from) { return hn::Load(kTag, from); }
HWY_INLINE void store(Vector value, float* to) { hn::Store(value, kTag, to); }

// In which form states and gradients are kept.
struct Float32 {
  using State = StateValuesView;
  using GruState = StateValuesView;
  using Gradient = ValuesView;
  static HWY_INLINE Vector gate(Vector x) { return sigmoid(x); }
  static HWY_INLINE Vector tanh_of(Vector x) { return hn::Tanh(kTag, x); }
  // No products go on beside the formulas.
  class Round {
   public:
    HWY_INLINE explicit Round(TileWork* /*meanwhile*/) {}
    template <int turn>
    HWY_INLINE void take() {}
    HWY_INLINE void end() {}
  };
};
template <int kParts>
struct Tiles {
  using State = StateView<kParts, false>;
  using GruState = StateView<kParts, true>;  // h' is a sum with h, which must not lose precision
  using Gradient = GradientView<kParts>;
  // One part has 8 bits.
  static HWY_INLINE Vector gate(Vector x) { return sigmoid_by_tanh<kParts == 1>(x); }
  static HWY_INLINE Vector tanh_of(Vector x) { return quick_tanh<kParts == 1>(x); }
  using Round = HWY_NAMESPACE::Round<kParts>;
};

// A block of units within a tile of the work.
template <typename Form>
class BlockOf {
 public:
  HWY_INLINE BlockOf(const CellTile& tile, int64_t u, int64_t gates)
      : tile_(tile), sums_(tile.sums + u * gates * kBlock), block_(tile.block + u) {}

  /// Where the block begins, among units and among the columns of gates that stand side by side.
  HWY_INLINE int64_t column() const { return block_ * kBlock; }
  HWY_INLINE int64_t column(const Gates& gates, int64_t gate = 0) const {
    return gates.column(block_, gate);
  }

  /// Calls formula(sums, b, k) for lane k of each sequence b, or formula(sums, b, k, round) if it
  /// takes the turns of the products meanwhile.
  template <typename Formula>
  HWY_INLINE void for_each_vector(const Formula& formula) const {
    for (int64_t i = 0; i < tile_.rows; ++i) {
      typename Form::Round round(tile_.meanwhile);
      for (int64_t k = 0; k < kBlock; k += kLanes) {
        const float* const sums = sums_ + i * tile_.stride + k;
        if constexpr (std::is_invocable_v<Formula, const float*, int64_t, int64_t,
                                          typename Form::Round&>) {
          formula(sums, tile_.row + i, k, round);
        } else {
          formula(sums, tile_.row + i, k);
        }
      }
      round.end();
    }
  }

 private:
  const CellTile& tile_;
  const float* sums_;
  int64_t block_;
};

// Calls formula(sums, b, row(b), c) for all units of a tile that has one gate, row by row: c is the
// vector's first column, counted from the tile's. A row's units follow each other in every form,
// those of states panel by panel.
template <typename Form, typename Row, typename Formula>
HWY_INLINE void for_each_vector(const CellTile& tile, const Row& row, const Formula& formula) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    const float* const sums = tile.sums + i * tile.stride;
    const int64_t b = tile.row + i;
    const float* const of_row = row(b);
    typename Form::Round round(tile.meanwhile);
    if (tile.blocks == kPanel / kBlock) {  // unrolled, so that all but the rows is known
      constexpr int64_t kQuarter = kPanel / kTurns;
      const auto quarter = [&](int64_t n) HWY_ATTR {
#pragma GCC unroll 16
        for (int64_t c = n * kQuarter; c < (n + 1) * kQuarter; c += kLanes) {
          formula(sums + c, b, of_row, c);
        }
      };
      quarter(0);
      round.template take<0>();
      quarter(1);
      round.template take<1>();
      quarter(2);
      round.template take<2>();
      quarter(3);
      round.template take<3>();
    } else {
      for (int64_t c = 0; c < tile.blocks * kBlock; c += kLanes) {
        formula(sums + c, b, of_row, c);
      }
    }
    round.end();
  }
}

// Calls use(block) for each block of units. `gates`: how many stand side by side in the sums.
template <typename Form, typename Use>
HWY_INLINE void for_each_block(const CellTile& tile, int64_t gates, const Use& use) {
  for (int64_t u = 0; u < tile.blocks; ++u) {
    use(BlockOf<Form>(tile, u, gates));
  }
}

// The inputs' share in a gate.
class InputView {
 public:
  HWY_INLINE InputView(const CellTile& tile, const CellInput& x, int64_t column)
      : values_(*x.values, 0, column), row_(x.row + tile.time * tile.batch_size) {}

  HWY_INLINE const float* at(int64_t b) const { return values_.at(row_[b]); }

 private:
  ValuesView values_;
  const int32_t* row_;
};

// The gradient by h from outside the recurrence, where it is not among the sums.
class OutsideView {
 public:
  HWY_INLINE OutsideView(const CellTile& tile, const Panels& dh, int64_t column)
      : first_(dh.empty() ? nullptr : dh.at(tile.time * tile.batch_size, column)),
        stride_(dh.row_stride()) {}

  HWY_INLINE const float* at(int64_t b) const {
    return first_ == nullptr ? nullptr : first_ + b * stride_;
  }
  HWY_INLINE Vector added_to(Vector sums, int64_t b, int64_t k) const {
    return first_ == nullptr ? sums : hn::Add(sums, load(at(b) + k));
  }

 private:
  const float* first_;
  int64_t stride_;
};

template <typename Form>
void rnn_forward_in(const CellTile& tile, const CellInput& x, Activations& h) {
  const int64_t column = tile.block * kBlock;
  const InputView input(tile, x, column);
  const typename Form::State state(h, tile.time + 1, column);
  const auto row = [&](int64_t b) HWY_ATTR { return input.at(b); };
  for_each_vector<Form>(tile, row,
                        [&](const float* sums, int64_t b, const float* in, int64_t c) HWY_ATTR {
                          state.store(b, c, Form::tanh_of(hn::Add(load(sums), load(in + c))));
                        });
}

template <typename Form>
void rnn_backward_in(const CellTile& tile, const Panels& dh, const Activations& h,
                     Activations& dz) {
  const int64_t column = tile.block * kBlock;
  const OutsideView outside(tile, dh, column);
  const typename Form::State state(h, tile.time + 1, column);
  const typename Form::Gradient gradient(dz, tile.time, column);
  const auto row = [&](int64_t b) HWY_ATTR { return outside.at(b); };
  for_each_vector<Form>(
      tile, row, [&](const float* sums, int64_t b, const float* outside_h, int64_t c) HWY_ATTR {
        auto grad_h = load(sums);
        if (outside_h != nullptr) {
          grad_h = hn::Add(grad_h, load(outside_h + c));
        }
        gradient.store(b, c, through_tanh(grad_h, state.load(b, c)));
      });
}

template <typename Form>
void lstm_forward_in(const CellTile& tile, const CellInput& x, Activations& gates, Panels& c,
                     Activations& h) {
  constexpr Gates kGates{.count = 4};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 4, [&](const BlockOf<Form>& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(gates, t, block.column(kGates));
    const ValuesView cell(c, t * tile.batch_size, block.column());
    const ValuesView next_cell(c, (t + 1) * tile.batch_size, block.column());
    const typename Form::State state(h, t + 1, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const float* in = input.at(b) + k;
      float* out = saved.at(b) + k;
      const auto I = Form::gate(hn::Add(load(sums), load(in)));
      round.template take<0>();
      const auto F = Form::gate(hn::Add(load(sums + kBlock), load(in + kBlock)));
      round.template take<1>();
      const auto O = Form::gate(hn::Add(load(sums + 2 * kBlock), load(in + 2 * kBlock)));
      round.template take<2>();
      const auto G = Form::tanh_of(hn::Add(load(sums + 3 * kBlock), load(in + 3 * kBlock)));
      const auto C = hn::MulAdd(F, cell.load(b, k), hn::Mul(I, G));
      store(I, out);
      store(F, out + kBlock);
      store(O, out + 2 * kBlock);
      store(G, out + 3 * kBlock);
      next_cell.store(b, k, C);
      round.template take<3>();
      state.store(b, k, hn::Mul(O, Form::tanh_of(C)));
    });
  });
}

template <typename Form>
void lstm_backward_in(const CellTile& tile, const Panels& dh, const Panels& c, Activations& gates,
                      Panels& dc) {
  constexpr Gates kGates{.count = 4};
  using Gradient = typename Form::Gradient;
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const OutsideView outside(tile, dh, block.column());
    const ValuesView saved(gates, t, block.column(kGates));
    const ValuesView cell(c, t * tile.batch_size, block.column());
    const ValuesView next_cell(c, (t + 1) * tile.batch_size, block.column());
    const ValuesView carry(dc, 0, block.column());
    const Gradient to_i(gates, t, block.column(kGates, 0));
    const Gradient to_f(gates, t, block.column(kGates, 1));
    const Gradient to_o(gates, t, block.column(kGates, 2));
    const Gradient to_g(gates, t, block.column(kGates, 3));
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const float* gate = saved.at(b) + k;
      const auto I = load(gate);
      const auto F = load(gate + kBlock);
      const auto O = load(gate + 2 * kBlock);
      const auto G = load(gate + 3 * kBlock);
      float* carried = carry.at(b) + k;
      const auto tanh_c = Form::tanh_of(next_cell.load(b, k));
      const auto grad_h = outside.added_to(load(sums), b, k);
      const auto grad_c = hn::Add(load(carried), through_tanh(hn::Mul(grad_h, O), tanh_c));
      to_i.store(b, k, hn::Mul(hn::Mul(grad_c, G), sigmoid_slope(I)));
      round.template take<0>();
      to_f.store(b, k, hn::Mul(hn::Mul(grad_c, cell.load(b, k)), sigmoid_slope(F)));
      round.template take<1>();
      to_o.store(b, k, hn::Mul(hn::Mul(grad_h, tanh_c), sigmoid_slope(O)));
      round.template take<2>();
      to_g.store(b, k, through_tanh(hn::Mul(grad_c, I), G));
      store(hn::Mul(grad_c, F), carried);
      round.template take<3>();
    });
  });
}

// z h + (1 - z) n
HWY_INLINE Vector mix(Vector z, Vector h, Vector n) { return hn::MulAdd(z, hn::Sub(h, n), n); }

template <typename Form>
void gru_after_forward_in(const CellTile& tile, const CellInput& x, const Panels& b_hh,
                          Activations& gates, Activations& p, Activations& h) {
  constexpr Gates kGates{.count = 3};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 3, [&](const BlockOf<Form>& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(gates, t, block.column(kGates));
    const ValuesView product(p, t, block.column());
    const typename Form::GruState before(h, t, block.column());
    const typename Form::GruState after(h, t + 1, block.column());
    const float* bias = b_hh.at(0, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const float* in = input.at(b) + k;
      float* out = saved.at(b) + k;
      const auto Z = Form::gate(hn::Add(load(sums), load(in)));
      round.template take<0>();
      const auto R = Form::gate(hn::Add(load(sums + kBlock), load(in + kBlock)));
      round.template take<1>();
      const auto P = hn::Add(load(sums + 2 * kBlock), load(bias + k));
      const auto N = Form::tanh_of(hn::MulAdd(R, P, load(in + 2 * kBlock)));
      round.template take<2>();
      store(Z, out);
      store(R, out + kBlock);
      store(N, out + 2 * kBlock);
      product.store(b, k, P);
      after.store(b, k, mix(Z, before.load(b, k), N));
      round.template take<3>();
    });
  });
}

template <typename Form>
void gru_after_backward_in(const CellTile& tile, const Panels& dh, const Activations& h,
                           Activations& gates, Activations& p, Panels& carry) {
  constexpr Gates kGates{.count = 3};
  using Gradient = typename Form::Gradient;
  const auto one = hn::Set(kTag, 1.0F);
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const OutsideView outside(tile, dh, block.column());
    const ValuesView saved(gates, t, block.column(kGates));
    const ValuesView product(p, t, block.column());
    const ValuesView past(carry, 0, block.column());
    const typename Form::GruState state(h, t, block.column());
    const Gradient to_z(gates, t, block.column(kGates, 0));
    const Gradient to_r(gates, t, block.column(kGates, 1));
    const Gradient to_p(gates, t, block.column(kGates, 2));
    const Gradient to_n(p, t, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const float* gate = saved.at(b) + k;
      const auto Z = load(gate);
      const auto R = load(gate + kBlock);
      const auto N = load(gate + 2 * kBlock);
      float* carried = past.at(b) + k;
      const auto grad_h = outside.added_to(hn::Add(load(sums), load(carried)), b, k);
      const auto grad_n = through_tanh(hn::Mul(grad_h, hn::Sub(one, Z)), N);
      const auto grad_z = hn::Mul(grad_h, hn::Sub(state.load(b, k), N));
      const auto grad_r = hn::Mul(grad_n, product.load(b, k));
      to_z.store(b, k, hn::Mul(grad_z, sigmoid_slope(Z)));
      round.template take<0>();
      to_r.store(b, k, hn::Mul(grad_r, sigmoid_slope(R)));
      round.template take<1>();
      to_p.store(b, k, hn::Mul(grad_n, R));
      round.template take<2>();
      to_n.store(b, k, grad_n);
      store(hn::Mul(grad_h, Z), carried);
      round.template take<3>();
    });
  });
}

template <typename Form>
void gru_before_gates_forward_in(const CellTile& tile, const CellInput& x, const Activations& h,
                                 Activations& gates, Activations& rh) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 2, [&](const BlockOf<Form>& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(gates, t, block.column(kGates));
    const typename Form::GruState state(h, t, block.column());
    const typename Form::State reset(rh, t, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const float* in = input.at(b) + k;
      float* out = saved.at(b) + k;
      const auto R = Form::gate(hn::Add(load(sums + kBlock), load(in + kBlock)));
      round.template take<0>();
      round.template take<1>();
      store(Form::gate(hn::Add(load(sums), load(in))), out);
      round.template take<2>();
      store(R, out + kBlock);
      reset.store(b, k, hn::Mul(R, state.load(b, k)));
      round.template take<3>();
    });
  });
}

template <typename Form>
void gru_before_state_forward_in(const CellTile& tile, const CellInput& x, const Activations& gates,
                                 Activations& n, Activations& h) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const InputView input(tile, x, block.column());
    const ValuesView z(gates, t, block.column(kGates));
    const ValuesView candidate(n, t, block.column());
    const typename Form::GruState before(h, t, block.column());
    const typename Form::GruState after(h, t + 1, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const auto N = Form::tanh_of(hn::Add(load(sums), load(input.at(b) + k)));
      candidate.store(b, k, N);
      after.store(b, k, mix(z.load(b, k), before.load(b, k), N));
    });
  });
}

template <typename Form>
void gru_before_state_backward_in(const CellTile& tile, const Panels& dh, const Activations& h,
                                  Activations& gates, Activations& n, Panels& carry) {
  constexpr Gates kGates{.count = 2};
  using Gradient = typename Form::Gradient;
  const auto one = hn::Set(kTag, 1.0F);
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const OutsideView outside(tile, dh, block.column());
    const ValuesView z(gates, t, block.column(kGates));
    const ValuesView candidate(n, t, block.column());
    const ValuesView past(carry, 0, block.column());
    const typename Form::GruState state(h, t, block.column());
    const Gradient to_z(gates, t, block.column(kGates));
    const Gradient to_n(n, t, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      float* carried = past.at(b) + k;
      const auto Z = z.load(b, k);
      const auto N = candidate.load(b, k);
      const auto grad_h = outside.added_to(hn::Add(load(sums), load(carried)), b, k);
      const auto grad_z = hn::Mul(grad_h, hn::Sub(state.load(b, k), N));
      to_z.store(b, k, hn::Mul(grad_z, sigmoid_slope(Z)));
      to_n.store(b, k, through_tanh(hn::Mul(grad_h, hn::Sub(one, Z)), N));
      store(hn::Mul(grad_h, Z), carried);
    });
  });
}

template <typename Form>
void gru_before_gates_backward_in(const CellTile& tile, const Activations& h, Activations& gates,
                                  Panels& carry) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const ValuesView r(gates, t, block.column(kGates, 1));
    const ValuesView past(carry, 0, block.column());
    const typename Form::GruState state(h, t, block.column());
    const typename Form::Gradient to_r(gates, t, block.column(kGates, 1));
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      float* carried = past.at(b) + k;
      const auto R = r.load(b, k);
      const auto drh = load(sums);
      const auto grad_r = hn::Mul(drh, state.load(b, k));
      to_r.store(b, k, hn::Mul(grad_r, sigmoid_slope(R)));
      store(hn::MulAdd(drh, R, load(carried)), carried);
    });
  });
}

template <int kParts>
void values_to_tiles_of(int64_t begin, int64_t end, Activations& matrix) {
  for (int64_t column = 0; column < matrix.columns(); column += kBlock) {
    for (int64_t t = begin; t < end; ++t) {
      const ValuesView from(matrix, t, column);
      const GradientView<kParts> to(matrix, t, column);
      for (int64_t b = 0; b < matrix.batch_size(); ++b) {
        for (int64_t k = 0; k < kBlock; k += kLanes) {
          to.store(b, k, from.load(b, k));
        }
      }
    }
  }
}

// Calls use(a form) for the form that `parts` stands for.
template <typename Use>
void in_form(int parts, const Use& use) {
  switch (parts) {
    case 1:
      return use(Tiles<1>());
    case 2:
      return use(Tiles<2>());
    default:
      return use(Float32());
  }
}

void rnn_forward(const CellTile& tile, const CellInput& x, Activations& h) {
  in_form(h.left().parts(), [&]<typename Form>(Form) { rnn_forward_in<Form>(tile, x, h); });
}

void rnn_backward(const CellTile& tile, const Panels& dh, const Activations& h, Activations& dz) {
  in_form(h.left().parts(), [&]<typename Form>(Form) { rnn_backward_in<Form>(tile, dh, h, dz); });
}

void lstm_forward(const CellTile& tile, const CellInput& x, Activations& gates, Panels& c,
                  Activations& h) {
  in_form(h.left().parts(),
          [&]<typename Form>(Form) { lstm_forward_in<Form>(tile, x, gates, c, h); });
}

void lstm_backward(const CellTile& tile, const Panels& dh, const Panels& c, Activations& gates,
                   Panels& dc) {
  in_form(gates.left().parts(),
          [&]<typename Form>(Form) { lstm_backward_in<Form>(tile, dh, c, gates, dc); });
}

void gru_after_forward(const CellTile& tile, const CellInput& x, const Panels& b_hh,
                       Activations& gates, Activations& p, Activations& h) {
  in_form(h.left().parts(),
          [&]<typename Form>(Form) { gru_after_forward_in<Form>(tile, x, b_hh, gates, p, h); });
}

void gru_after_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                        Activations& gates, Activations& p, Panels& carry) {
  in_form(h.left().parts(),
          [&]<typename Form>(Form) { gru_after_backward_in<Form>(tile, dh, h, gates, p, carry); });
}

void gru_before_gates_forward(const CellTile& tile, const CellInput& x, const Activations& h,
                              Activations& gates, Activations& rh) {
  in_form(h.left().parts(),
          [&]<typename Form>(Form) { gru_before_gates_forward_in<Form>(tile, x, h, gates, rh); });
}

void gru_before_state_forward(const CellTile& tile, const CellInput& x, const Activations& gates,
                              Activations& n, Activations& h) {
  in_form(h.left().parts(),
          [&]<typename Form>(Form) { gru_before_state_forward_in<Form>(tile, x, gates, n, h); });
}

void gru_before_state_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                               Activations& gates, Activations& n, Panels& carry) {
  in_form(h.left().parts(), [&]<typename Form>(Form) {
    gru_before_state_backward_in<Form>(tile, dh, h, gates, n, carry);
  });
}

void gru_before_gates_backward(const CellTile& tile, const Activations& h, Activations& gates,
                               Panels& carry) {
  in_form(h.left().parts(),
          [&]<typename Form>(Form) { gru_before_gates_backward_in<Form>(tile, h, gates, carry); });
}

void values_to_tiles(int64_t begin, int64_t end, Activations& matrix) {
  (matrix.left().parts() == 1 ? values_to_tiles_of<1> : values_to_tiles_of<2>)(begin, end, matrix);
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(rnn_forward);
HWY_EXPORT(rnn_backward);
HWY_EXPORT(lstm_forward);
HWY_EXPORT(lstm_backward);
HWY_EXPORT(gru_after_forward);
HWY_EXPORT(gru_after_backward);
HWY_EXPORT(gru_before_gates_forward);
HWY_EXPORT(gru_before_state_forward);
HWY_EXPORT(gru_before_state_backward);
HWY_EXPORT(gru_before_gates_backward);
HWY_EXPORT(values_to_tiles);

void rnn_forward(const CellTile& tile, const CellInput& x, Activations& h) {
  HWY_DYNAMIC_DISPATCH(rnn_forward)(tile, x, h);
}

void rnn_backward(const CellTile& tile, const Panels& dh, const Activations& h, Activations& dz) {
  HWY_DYNAMIC_DISPATCH(rnn_backward)(tile, dh, h, dz);
}

void lstm_forward(const CellTile& tile, const CellInput& x, Activations& gates, Panels& c,
                  Activations& h) {
  HWY_DYNAMIC_DISPATCH(lstm_forward)(tile, x, gates, c, h);
}

void lstm_backward(const CellTile& tile, const Panels& dh, const Panels& c, Activations& gates,
                   Panels& dc) {
  HWY_DYNAMIC_DISPATCH(lstm_backward)(tile, dh, c, gates, dc);
}

void gru_after_forward(const CellTile& tile, const CellInput& x, const Panels& b_hh,
                       Activations& gates, Activations& p, Activations& h) {
  HWY_DYNAMIC_DISPATCH(gru_after_forward)(tile, x, b_hh, gates, p, h);
}

void gru_after_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                        Activations& gates, Activations& p, Panels& carry) {
  HWY_DYNAMIC_DISPATCH(gru_after_backward)(tile, dh, h, gates, p, carry);
}

void gru_before_gates_forward(const CellTile& tile, const CellInput& x, const Activations& h,
                              Activations& gates, Activations& rh) {
  HWY_DYNAMIC_DISPATCH(gru_before_gates_forward)(tile, x, h, gates, rh);
}

void gru_before_state_forward(const CellTile& tile, const CellInput& x, const Activations& gates,
                              Activations& n, Activations& h) {
  HWY_DYNAMIC_DISPATCH(gru_before_state_forward)(tile, x, gates, n, h);
}

void gru_before_state_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                               Activations& gates, Activations& n, Panels& carry) {
  HWY_DYNAMIC_DISPATCH(gru_before_state_backward)(tile, dh, h, gates, n, carry);
}

void gru_before_gates_backward(const CellTile& tile, const Activations& h, Activations& gates,
                               Panels& carry) {
  HWY_DYNAMIC_DISPATCH(gru_before_gates_backward)(tile, h, gates, carry);
}

void values_to_tiles(int64_t begin, int64_t end, Activations& matrix) {
  HWY_DYNAMIC_DISPATCH(values_to_tiles)(begin, end, matrix);
}

}  // namespace unroll::cpu
#endif

// Per-target include guard, as Highway's own -inl.h files have it
#if defined(UNROLL_FORMULAS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNROLL_FORMULAS_INL_H_
#undef UNROLL_FORMULAS_INL_H_
#else
#define UNROLL_FORMULAS_INL_H_
#endif

#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

#include <cstdint>
#include <type_traits>

#include "kernels/cpu/cells.h"
#include "kernels/cpu/matrices/tile_unit-inl.h"
#include "kernels/cpu/matrices/views-inl.h"

// What the cells' formulas share: activation functions, the forms of states and gradients, and the
// loops over the vectors of a tile, which let products run in between. Formulas are HWY_FLATTEN:
// one that stays a call loads its constants again for each vector, which costs 3 % of a bf16x3
// step.

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Vector = Float;
inline constexpr FloatTag kTag;
inline constexpr int64_t kLanes = hn::MaxLanes(FloatTag());

/// 1 / x for an x that is neither very small nor very large: an approximation of 12 bits, and
/// unless `rough` one step of Newton's method.
template <bool rough>
HWY_INLINE Vector reciprocal(Vector x) {
  const auto r = hn::ApproximateReciprocal(x);
  return rough ? r : hn::Mul(r, hn::NegMulAdd(x, r, hn::Set(kTag, 2.0F)));
}

/// tanh to 3e-7 of its value: x P(x^2) / Q(x^2), a minimax fit on [-8, 8]; beyond, float32 is all
/// but 1. It takes a third of the time of Highway's Tanh (unroll_kernels_benchmark
/// --benchmark_filter=RnnForward). For sums of tiles only, which have this error themselves: in
/// float32 the last bit counts where a gradient is multiplied by a small 1 - tanh^2.
template <bool rough>
HWY_INLINE Vector quick_tanh(Vector x) {
  const auto c = [](float value) HWY_ATTR { return hn::Set(kTag, value); };
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  // In this order of arguments NaN stays NaN.
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
  // Highway's Exp keeps NaN, which shows that training diverges.
  const auto bounded = hn::Max(x, hn::Set(kTag, -88.0F));
  const auto one = hn::Set(kTag, 1.0F);
  const auto result = hn::Div(one, hn::Add(one, hn::Exp(kTag, hn::Neg(bounded))));
  return hn::IfThenElse(hn::Eq(x, x), result, x);
}

/// Accurate to 2e-7 of 1, as exact as a sum of tiles.
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

// The forms of states and gradients.
struct Float32 {
  using State = StateValuesView;
  using GruState = StateValuesView;
  using Gradient = ValuesView;
  static HWY_INLINE Vector gate(Vector x) { return sigmoid(x); }
  static HWY_INLINE Vector tanh_of(Vector x) { return hn::Tanh(kTag, x); }
  // No products run beside the formulas.
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

  /// The block's first column, among units and among the columns of gates side by side.
  HWY_INLINE int64_t column() const { return block_ * kBlock; }
  HWY_INLINE int64_t column(const Gates& gates, int64_t gate = 0) const {
    return gates.column(block_, gate);
  }

  /// Calls formula(sums, b, k) for lane k of each sequence b, or formula(sums, b, k, round) if the
  /// formula itself lets the products run.
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
      : first_(x.values->at(0, column)),
        stride_(x.values->strip()),
        row_(x.row + tile.time * tile.batch_size) {}

  HWY_INLINE const float* at(int64_t b) const { return first_ + row_[b] * stride_; }

 private:
  const float* first_;
  int64_t stride_;
  const int32_t* row_;
};

// The gradient by h from outside the recurrence, where it is not among the sums.
class OutsideView {
 public:
  HWY_INLINE OutsideView(const CellTile& tile, const BlockedView& dh, int64_t column)
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

// Calls use(form) for the form that the states have.
template <typename Use>
void in_form(const CellMemory& memory, const Use& use) {
  switch (memory.h.left().parts()) {
    case 1:
      return use(Tiles<1>());
    case 2:
      return use(Tiles<2>());
    default:
      return use(Float32());
  }
}

}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

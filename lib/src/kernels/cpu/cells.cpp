#include "kernels/cpu/cells.h"

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cells.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

#include "kernels/cpu/views-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Vector = Float;
constexpr FloatTag kTag;
constexpr int64_t kLanes = hn::MaxLanes(FloatTag());

HWY_INLINE Vector sigmoid(Vector x) {
  // exp stays finite: at -88 the result is about the smallest that a float has. Neither Max nor
  // Highway's Exp keeps what is not a number, by which a training that diverges is told.
  const auto bounded = hn::Max(x, hn::Set(kTag, -88.0F));
  const auto one = hn::Set(kTag, 1.0F);
  const auto result = hn::Div(one, hn::Add(one, hn::Exp(kTag, hn::Neg(bounded))));
  return hn::IfThenElse(hn::Eq(x, x), result, x);
}

HWY_INLINE Vector tanh(Vector x) { return hn::Tanh(kTag, x); }

/// y (1 - y), sigmoid's derivative by its value.
HWY_INLINE Vector sigmoid_slope(Vector y) { return hn::NegMulAdd(y, y, y); }
/// g (1 - y^2), a gradient through tanh.
HWY_INLINE Vector through_tanh(Vector g, Vector y) { return hn::NegMulAdd(hn::Mul(g, y), y, g); }

HWY_INLINE Vector load(const float* from) { return hn::Load(kTag, from); }
HWY_INLINE void store(Vector value, float* to) { hn::Store(value, kTag, to); }

// In which form states and gradients are kept.
struct Float32 {
  using State = ValuesView;
  using GruState = ValuesView;
  using Gradient = ValuesView;
};
template <int kParts>
struct Tiles {
  using State = StateView<kParts, false>;
  using GruState = StateView<kParts, true>;  // h' is a sum with h, which must not lose precision
  using Gradient = GradientView<kParts>;
};

// A block of units within a tile of the work.
class BlockOf {
 public:
  HWY_INLINE BlockOf(const CellTile& tile, int64_t u, int64_t gates)
      : tile_(tile), sums_(tile.sums + u * gates * kBlock), block_(tile.block + u) {}

  /// Where the block begins, among units and among the columns of gates that stand side by side.
  HWY_INLINE int64_t column() const { return block_ * kBlock; }
  HWY_INLINE int64_t column(const Gates& gates, int64_t gate = 0) const {
    return gates.column(block_, gate);
  }

  /// Calls formula(sums, b, k) for lane k of each sequence b.
  template <typename Formula>
  HWY_INLINE void for_each_vector(const Formula& formula) const {
    for (int64_t i = 0; i < tile_.rows; ++i) {
      for (int64_t k = 0; k < kBlock; k += kLanes) {
        formula(sums_ + i * tile_.stride + k, tile_.row + i, k);
      }
    }
  }

 private:
  const CellTile& tile_;
  const float* sums_;
  int64_t block_;
};

// Calls use(block) for each block of units. `gates`: how many stand side by side in the sums.
template <typename Use>
HWY_INLINE void for_each_block(const CellTile& tile, int64_t gates, const Use& use) {
  for (int64_t u = 0; u < tile.blocks; ++u) {
    use(BlockOf(tile, u, gates));
  }
}

// The inputs' share in a gate.
class InputView {
 public:
  HWY_INLINE InputView(const CellTile& tile, const CellInput& x, int64_t column)
      : values_(*x.values, column), row_(x.row + tile.time * tile.batch_size) {}

  HWY_INLINE const float* at(int64_t b) const { return values_.row(row_[b]); }

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

  HWY_INLINE Vector added_to(Vector sums, int64_t b, int64_t k) const {
    return first_ == nullptr ? sums : hn::Add(sums, load(first_ + b * stride_ + k));
  }

 private:
  const float* first_;
  int64_t stride_;
};

template <typename Form>
void rnn_forward_in(const CellTile& tile, const CellInput& x, Activations& h) {
  const int64_t t = tile.time;
  for_each_block(tile, 1, [&](const BlockOf& block) HWY_ATTR {
    const InputView input(tile, x, block.column());
    const typename Form::State state(h, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      state.store(t + 1, b, k, tanh(hn::Add(load(sums), load(input.at(b) + k))));
    });
  });
}

template <typename Form>
void rnn_backward_in(const CellTile& tile, const Panels& dh, const Activations& h,
                     Activations& dz) {
  const int64_t t = tile.time;
  for_each_block(tile, 1, [&](const BlockOf& block) HWY_ATTR {
    const OutsideView outside(tile, dh, block.column());
    const typename Form::State state(h, block.column());
    const typename Form::Gradient gradient(dz, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const auto grad_h = outside.added_to(load(sums), b, k);
      gradient.store(t, b, k, through_tanh(grad_h, state.load(t + 1, b, k)));
    });
  });
}

template <typename Form>
void lstm_forward_in(const CellTile& tile, const CellInput& x, Activations& gates, Panels& c,
                     Activations& h) {
  constexpr Gates kGates{.count = 4};
  const int64_t t = tile.time;
  for_each_block(tile, 4, [&](const BlockOf& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(gates, block.column(kGates));
    const ValuesView cell(c, block.column(), tile.batch_size);
    const typename Form::State state(h, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const float* in = input.at(b) + k;
      float* out = saved.at(t, b) + k;
      const auto I = sigmoid(hn::Add(load(sums), load(in)));
      const auto F = sigmoid(hn::Add(load(sums + kBlock), load(in + kBlock)));
      const auto O = sigmoid(hn::Add(load(sums + 2 * kBlock), load(in + 2 * kBlock)));
      const auto G = tanh(hn::Add(load(sums + 3 * kBlock), load(in + 3 * kBlock)));
      const auto C = hn::MulAdd(F, cell.load(t, b, k), hn::Mul(I, G));
      store(I, out);
      store(F, out + kBlock);
      store(O, out + 2 * kBlock);
      store(G, out + 3 * kBlock);
      cell.store(t + 1, b, k, C);
      state.store(t + 1, b, k, hn::Mul(O, tanh(C)));
    });
  });
}

template <typename Form>
void lstm_backward_in(const CellTile& tile, const Panels& dh, const Panels& c, Activations& gates,
                      Panels& dc) {
  constexpr Gates kGates{.count = 4};
  using Gradient = typename Form::Gradient;
  const int64_t t = tile.time;
  for_each_block(tile, 1, [&](const BlockOf& block) HWY_ATTR {
    const OutsideView outside(tile, dh, block.column());
    const ValuesView saved(gates, block.column(kGates));
    const ValuesView cell(c, block.column(), tile.batch_size);
    const ValuesView carry(dc, block.column());
    const Gradient dI(gates, block.column(kGates, 0));
    const Gradient dF(gates, block.column(kGates, 1));
    const Gradient dO(gates, block.column(kGates, 2));
    const Gradient dG(gates, block.column(kGates, 3));
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const float* gate = saved.at(t, b) + k;
      const auto I = load(gate);
      const auto F = load(gate + kBlock);
      const auto O = load(gate + 2 * kBlock);
      const auto G = load(gate + 3 * kBlock);
      float* carried = carry.row(b) + k;
      const auto tanh_c = tanh(cell.load(t + 1, b, k));
      const auto grad_h = outside.added_to(load(sums), b, k);
      const auto grad_c = hn::Add(load(carried), through_tanh(hn::Mul(grad_h, O), tanh_c));
      dI.store(t, b, k, hn::Mul(hn::Mul(grad_c, G), sigmoid_slope(I)));
      dF.store(t, b, k, hn::Mul(hn::Mul(grad_c, cell.load(t, b, k)), sigmoid_slope(F)));
      dO.store(t, b, k, hn::Mul(hn::Mul(grad_h, tanh_c), sigmoid_slope(O)));
      dG.store(t, b, k, through_tanh(hn::Mul(grad_c, I), G));
      store(hn::Mul(grad_c, F), carried);
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
  for_each_block(tile, 3, [&](const BlockOf& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(gates, block.column(kGates));
    const ValuesView product(p, block.column());
    const typename Form::GruState state(h, block.column());
    const float* bias = b_hh.at(0, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const float* in = input.at(b) + k;
      float* out = saved.at(t, b) + k;
      const auto Z = sigmoid(hn::Add(load(sums), load(in)));
      const auto R = sigmoid(hn::Add(load(sums + kBlock), load(in + kBlock)));
      const auto P = hn::Add(load(sums + 2 * kBlock), load(bias + k));
      const auto N = tanh(hn::MulAdd(R, P, load(in + 2 * kBlock)));
      store(Z, out);
      store(R, out + kBlock);
      store(N, out + 2 * kBlock);
      product.store(t, b, k, P);
      state.store(t + 1, b, k, mix(Z, state.load(t, b, k), N));
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
  for_each_block(tile, 1, [&](const BlockOf& block) HWY_ATTR {
    const OutsideView outside(tile, dh, block.column());
    const ValuesView saved(gates, block.column(kGates));
    const ValuesView product(p, block.column());
    const ValuesView past(carry, block.column());
    const typename Form::GruState state(h, block.column());
    const Gradient dZ(gates, block.column(kGates, 0));
    const Gradient dR(gates, block.column(kGates, 1));
    const Gradient dP(gates, block.column(kGates, 2));
    const Gradient dN(p, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const float* gate = saved.at(t, b) + k;
      const auto Z = load(gate);
      const auto R = load(gate + kBlock);
      const auto N = load(gate + 2 * kBlock);
      float* carried = past.row(b) + k;
      const auto grad_h = outside.added_to(hn::Add(load(sums), load(carried)), b, k);
      const auto grad_n = through_tanh(hn::Mul(grad_h, hn::Sub(one, Z)), N);
      const auto grad_z = hn::Mul(grad_h, hn::Sub(state.load(t, b, k), N));
      const auto grad_r = hn::Mul(grad_n, product.load(t, b, k));
      dZ.store(t, b, k, hn::Mul(grad_z, sigmoid_slope(Z)));
      dR.store(t, b, k, hn::Mul(grad_r, sigmoid_slope(R)));
      dP.store(t, b, k, hn::Mul(grad_n, R));
      dN.store(t, b, k, grad_n);
      store(hn::Mul(grad_h, Z), carried);
    });
  });
}

template <typename Form>
void gru_before_gates_forward_in(const CellTile& tile, const CellInput& x, const Activations& h,
                                 Activations& gates, Activations& rh) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block(tile, 2, [&](const BlockOf& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(gates, block.column(kGates));
    const typename Form::GruState state(h, block.column());
    const typename Form::State reset(rh, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const float* in = input.at(b) + k;
      float* out = saved.at(t, b) + k;
      const auto R = sigmoid(hn::Add(load(sums + kBlock), load(in + kBlock)));
      store(sigmoid(hn::Add(load(sums), load(in))), out);
      store(R, out + kBlock);
      reset.store(t, b, k, hn::Mul(R, state.load(t, b, k)));
    });
  });
}

template <typename Form>
void gru_before_state_forward_in(const CellTile& tile, const CellInput& x, const Activations& gates,
                                 Activations& n, Activations& h) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block(tile, 1, [&](const BlockOf& block) HWY_ATTR {
    const InputView input(tile, x, block.column());
    const ValuesView z(gates, block.column(kGates));
    const ValuesView candidate(n, block.column());
    const typename Form::GruState state(h, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const auto N = tanh(hn::Add(load(sums), load(input.at(b) + k)));
      candidate.store(t, b, k, N);
      state.store(t + 1, b, k, mix(z.load(t, b, k), state.load(t, b, k), N));
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
  for_each_block(tile, 1, [&](const BlockOf& block) HWY_ATTR {
    const OutsideView outside(tile, dh, block.column());
    const ValuesView z(gates, block.column(kGates));
    const ValuesView candidate(n, block.column());
    const ValuesView past(carry, block.column());
    const typename Form::GruState state(h, block.column());
    const Gradient dZ(gates, block.column(kGates));
    const Gradient dN(n, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      float* carried = past.row(b) + k;
      const auto Z = z.load(t, b, k);
      const auto N = candidate.load(t, b, k);
      const auto grad_h = outside.added_to(hn::Add(load(sums), load(carried)), b, k);
      const auto grad_z = hn::Mul(grad_h, hn::Sub(state.load(t, b, k), N));
      dZ.store(t, b, k, hn::Mul(grad_z, sigmoid_slope(Z)));
      dN.store(t, b, k, through_tanh(hn::Mul(grad_h, hn::Sub(one, Z)), N));
      store(hn::Mul(grad_h, Z), carried);
    });
  });
}

template <typename Form>
void gru_before_gates_backward_in(const CellTile& tile, const Activations& h, Activations& gates,
                                  Panels& carry) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block(tile, 1, [&](const BlockOf& block) HWY_ATTR {
    const ValuesView r(gates, block.column(kGates, 1));
    const ValuesView past(carry, block.column());
    const typename Form::GruState state(h, block.column());
    const typename Form::Gradient dR(gates, block.column(kGates, 1));
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      float* carried = past.row(b) + k;
      const auto R = r.load(t, b, k);
      const auto drh = load(sums);
      const auto grad_r = hn::Mul(drh, state.load(t, b, k));
      dR.store(t, b, k, hn::Mul(grad_r, sigmoid_slope(R)));
      store(hn::MulAdd(drh, R, load(carried)), carried);
    });
  });
}

template <int kParts>
void values_to_tiles_of(int64_t begin, int64_t end, Activations& matrix) {
  for (int64_t column = 0; column < matrix.columns(); column += kBlock) {
    const ValuesView from(matrix, column);
    const GradientView<kParts> to(matrix, column);
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t b = 0; b < matrix.batch_size(); ++b) {
        for (int64_t k = 0; k < kBlock; k += kLanes) {
          to.store(t, b, k, from.load(t, b, k));
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

#include "kernels/cpu/cells.h"

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cells.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, kBlock>;
using Vector = hn::Vec<Tag>;
constexpr Tag kTag;
constexpr int64_t kLanes = hn::MaxLanes(Tag());

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

// Where a block of units of one sequence at one step stands.
struct Place {
  const float* sums;  // of the block's first gate
  int64_t b;          // sequence
  int64_t row;        // t*B + b: of the step, and of the state before it
  int64_t next;       // of the state after it
  int64_t block;
  int64_t column;  // of the block's first unit
};

// Calls formula(place, k) for every vector of the tile, k being where it begins in its block.
// `gates`: how many stand side by side in the sums.
template <typename Formula>
HWY_INLINE void for_each_vector(const CellTile& tile, int64_t gates, const Formula& formula) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int64_t b = tile.row + i;
    const int64_t row = tile.time * tile.batch_size + b;
    for (int64_t u = 0; u < tile.blocks; ++u) {
      const int64_t block = tile.block + u;
      const Place place{tile.sums + i * tile.stride + u * gates * kBlock,
                        b,
                        row,
                        row + tile.batch_size,
                        block,
                        block * kBlock};
      for (int64_t k = 0; k < kBlock; k += kLanes) {
        formula(place, k);
      }
    }
  }
}

void rnn_forward(const CellTile& tile, const CellInput& x, Panels& h) {
  for_each_vector(tile, 1, [&](const Place& at, int64_t k) HWY_ATTR {
    const auto input = load(x.values->at(x.row[at.row], at.column) + k);
    store(tanh(hn::Add(load(at.sums + k), input)), h.at(at.next, at.column) + k);
  });
}

void rnn_backward(const CellTile& tile, const Panels& dh, const Panels& h, Panels& dz) {
  for_each_vector(tile, 1, [&](const Place& at, int64_t k) HWY_ATTR {
    const auto gradient = hn::Add(load(at.sums + k), load(dh.at(at.row, at.column) + k));
    store(through_tanh(gradient, load(h.at(at.next, at.column) + k)), dz.at(at.row, at.column) + k);
  });
}

void lstm_forward(const CellTile& tile, const CellInput& x, Panels& gates, Panels& c, Panels& h) {
  constexpr Gates kGates{.count = 4};
  for_each_vector(tile, 4, [&](const Place& at, int64_t k) HWY_ATTR {
    const int64_t column = kGates.column(at.block, 0);
    const float* input = x.values->at(x.row[at.row], column) + k;
    const float* sums = at.sums + k;
    float* out = gates.at(at.row, column) + k;
    const auto I = sigmoid(hn::Add(load(sums), load(input)));
    const auto F = sigmoid(hn::Add(load(sums + kBlock), load(input + kBlock)));
    const auto O = sigmoid(hn::Add(load(sums + 2 * kBlock), load(input + 2 * kBlock)));
    const auto G = tanh(hn::Add(load(sums + 3 * kBlock), load(input + 3 * kBlock)));
    const auto C = hn::MulAdd(F, load(c.at(at.row, at.column) + k), hn::Mul(I, G));
    store(I, out);
    store(F, out + kBlock);
    store(O, out + 2 * kBlock);
    store(G, out + 3 * kBlock);
    store(C, c.at(at.next, at.column) + k);
    store(hn::Mul(O, tanh(C)), h.at(at.next, at.column) + k);
  });
}

void lstm_backward(const CellTile& tile, const Panels& dh, const Panels& c, Panels& gates,
                   Panels& dc) {
  constexpr Gates kGates{.count = 4};
  for_each_vector(tile, 1, [&](const Place& at, int64_t k) HWY_ATTR {
    float* out = gates.at(at.row, kGates.column(at.block, 0)) + k;
    const auto I = load(out);
    const auto F = load(out + kBlock);
    const auto O = load(out + 2 * kBlock);
    const auto G = load(out + 3 * kBlock);
    float* carried = dc.at(at.b, at.column) + k;
    const auto tanh_c = tanh(load(c.at(at.next, at.column) + k));
    const auto grad_h = hn::Add(load(at.sums + k), load(dh.at(at.row, at.column) + k));
    const auto grad_c = hn::Add(load(carried), through_tanh(hn::Mul(grad_h, O), tanh_c));
    const auto before = load(c.at(at.row, at.column) + k);
    store(hn::Mul(hn::Mul(grad_c, G), sigmoid_slope(I)), out);
    store(hn::Mul(hn::Mul(grad_c, before), sigmoid_slope(F)), out + kBlock);
    store(hn::Mul(hn::Mul(grad_h, tanh_c), sigmoid_slope(O)), out + 2 * kBlock);
    store(through_tanh(hn::Mul(grad_c, I), G), out + 3 * kBlock);
    store(hn::Mul(grad_c, F), carried);
  });
}

// z h + (1 - z) n
HWY_INLINE Vector mix(Vector z, Vector h, Vector n) { return hn::MulAdd(z, hn::Sub(h, n), n); }

void gru_after_forward(const CellTile& tile, const CellInput& x, const Panels& b_hh, Panels& gates,
                       Panels& p, Panels& h) {
  constexpr Gates kGates{.count = 3};
  for_each_vector(tile, 3, [&](const Place& at, int64_t k) HWY_ATTR {
    const int64_t column = kGates.column(at.block, 0);
    const float* input = x.values->at(x.row[at.row], column) + k;
    const float* sums = at.sums + k;
    float* out = gates.at(at.row, column) + k;
    const auto Z = sigmoid(hn::Add(load(sums), load(input)));
    const auto R = sigmoid(hn::Add(load(sums + kBlock), load(input + kBlock)));
    const auto P = hn::Add(load(sums + 2 * kBlock), load(b_hh.at(0, at.column) + k));
    const auto N = tanh(hn::MulAdd(R, P, load(input + 2 * kBlock)));
    store(Z, out);
    store(R, out + kBlock);
    store(N, out + 2 * kBlock);
    store(P, p.at(at.row, at.column) + k);
    store(mix(Z, load(h.at(at.row, at.column) + k), N), h.at(at.next, at.column) + k);
  });
}

void gru_after_backward(const CellTile& tile, const Panels& dh, const Panels& h, Panels& gates,
                        Panels& p, Panels& carry) {
  constexpr Gates kGates{.count = 3};
  const auto one = hn::Set(kTag, 1.0F);
  for_each_vector(tile, 1, [&](const Place& at, int64_t k) HWY_ATTR {
    float* out = gates.at(at.row, kGates.column(at.block, 0)) + k;
    float* product = p.at(at.row, at.column) + k;
    float* carried = carry.at(at.b, at.column) + k;
    const auto Z = load(out);
    const auto R = load(out + kBlock);
    const auto N = load(out + 2 * kBlock);
    const auto grad_h =
        hn::Add(hn::Add(load(at.sums + k), load(carried)), load(dh.at(at.row, at.column) + k));
    const auto grad_n = through_tanh(hn::Mul(grad_h, hn::Sub(one, Z)), N);
    const auto grad_z = hn::Mul(grad_h, hn::Sub(load(h.at(at.row, at.column) + k), N));
    store(hn::Mul(grad_z, sigmoid_slope(Z)), out);
    store(hn::Mul(hn::Mul(grad_n, load(product)), sigmoid_slope(R)), out + kBlock);
    store(hn::Mul(grad_n, R), out + 2 * kBlock);
    store(grad_n, product);
    store(hn::Mul(grad_h, Z), carried);
  });
}

void gru_before_gates_forward(const CellTile& tile, const CellInput& x, const Panels& h,
                              Panels& gates, Panels& rh) {
  constexpr Gates kGates{.count = 2};
  for_each_vector(tile, 2, [&](const Place& at, int64_t k) HWY_ATTR {
    const int64_t column = kGates.column(at.block, 0);
    const float* input = x.values->at(x.row[at.row], column) + k;
    const float* sums = at.sums + k;
    float* out = gates.at(at.row, column) + k;
    const auto R = sigmoid(hn::Add(load(sums + kBlock), load(input + kBlock)));
    store(sigmoid(hn::Add(load(sums), load(input))), out);
    store(R, out + kBlock);
    store(hn::Mul(R, load(h.at(at.row, at.column) + k)), rh.at(at.row, at.column) + k);
  });
}

void gru_before_state_forward(const CellTile& tile, const CellInput& x, const Panels& gates,
                              Panels& n, Panels& h) {
  constexpr Gates kGates{.count = 2};
  for_each_vector(tile, 1, [&](const Place& at, int64_t k) HWY_ATTR {
    const auto input = load(x.values->at(x.row[at.row], at.column) + k);
    const auto Z = load(gates.at(at.row, kGates.column(at.block, 0)) + k);
    const auto N = tanh(hn::Add(load(at.sums + k), input));
    store(N, n.at(at.row, at.column) + k);
    store(mix(Z, load(h.at(at.row, at.column) + k), N), h.at(at.next, at.column) + k);
  });
}

void gru_before_state_backward(const CellTile& tile, const Panels& dh, const Panels& h,
                               Panels& gates, Panels& n, Panels& carry) {
  constexpr Gates kGates{.count = 2};
  const auto one = hn::Set(kTag, 1.0F);
  for_each_vector(tile, 1, [&](const Place& at, int64_t k) HWY_ATTR {
    float* z = gates.at(at.row, kGates.column(at.block, 0)) + k;
    float* candidate = n.at(at.row, at.column) + k;
    float* carried = carry.at(at.b, at.column) + k;
    const auto Z = load(z);
    const auto N = load(candidate);
    const auto grad_h =
        hn::Add(hn::Add(load(at.sums + k), load(carried)), load(dh.at(at.row, at.column) + k));
    const auto grad_z = hn::Mul(grad_h, hn::Sub(load(h.at(at.row, at.column) + k), N));
    store(hn::Mul(grad_z, sigmoid_slope(Z)), z);
    store(through_tanh(hn::Mul(grad_h, hn::Sub(one, Z)), N), candidate);
    store(hn::Mul(grad_h, Z), carried);
  });
}

void gru_before_gates_backward(const CellTile& tile, const Panels& h, Panels& gates,
                               Panels& carry) {
  constexpr Gates kGates{.count = 2};
  for_each_vector(tile, 1, [&](const Place& at, int64_t k) HWY_ATTR {
    float* r = gates.at(at.row, kGates.column(at.block, 1)) + k;
    float* carried = carry.at(at.b, at.column) + k;
    const auto R = load(r);
    const auto drh = load(at.sums + k);
    const auto grad_r = hn::Mul(drh, load(h.at(at.row, at.column) + k));
    store(hn::Mul(grad_r, sigmoid_slope(R)), r);
    store(hn::MulAdd(drh, R, load(carried)), carried);
  });
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

void rnn_forward(const CellTile& tile, const CellInput& x, Panels& h) {
  HWY_DYNAMIC_DISPATCH(rnn_forward)(tile, x, h);
}

void rnn_backward(const CellTile& tile, const Panels& dh, const Panels& h, Panels& dz) {
  HWY_DYNAMIC_DISPATCH(rnn_backward)(tile, dh, h, dz);
}

void lstm_forward(const CellTile& tile, const CellInput& x, Panels& gates, Panels& c, Panels& h) {
  HWY_DYNAMIC_DISPATCH(lstm_forward)(tile, x, gates, c, h);
}

void lstm_backward(const CellTile& tile, const Panels& dh, const Panels& c, Panels& gates,
                   Panels& dc) {
  HWY_DYNAMIC_DISPATCH(lstm_backward)(tile, dh, c, gates, dc);
}

void gru_after_forward(const CellTile& tile, const CellInput& x, const Panels& b_hh, Panels& gates,
                       Panels& p, Panels& h) {
  HWY_DYNAMIC_DISPATCH(gru_after_forward)(tile, x, b_hh, gates, p, h);
}

void gru_after_backward(const CellTile& tile, const Panels& dh, const Panels& h, Panels& gates,
                        Panels& p, Panels& carry) {
  HWY_DYNAMIC_DISPATCH(gru_after_backward)(tile, dh, h, gates, p, carry);
}

void gru_before_gates_forward(const CellTile& tile, const CellInput& x, const Panels& h,
                              Panels& gates, Panels& rh) {
  HWY_DYNAMIC_DISPATCH(gru_before_gates_forward)(tile, x, h, gates, rh);
}

void gru_before_state_forward(const CellTile& tile, const CellInput& x, const Panels& gates,
                              Panels& n, Panels& h) {
  HWY_DYNAMIC_DISPATCH(gru_before_state_forward)(tile, x, gates, n, h);
}

void gru_before_state_backward(const CellTile& tile, const Panels& dh, const Panels& h,
                               Panels& gates, Panels& n, Panels& carry) {
  HWY_DYNAMIC_DISPATCH(gru_before_state_backward)(tile, dh, h, gates, n, carry);
}

void gru_before_gates_backward(const CellTile& tile, const Panels& h, Panels& gates,
                               Panels& carry) {
  HWY_DYNAMIC_DISPATCH(gru_before_gates_backward)(tile, h, gates, carry);
}

}  // namespace unroll::cpu
#endif

#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

UNROLL_DEVICE float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }
UNROLL_DEVICE float tanh_slope(float y) { return 1.0F - y * y; }
UNROLL_DEVICE float sigmoid_slope(float y) { return y * (1.0F - y); }

/// What an RNN does with a sum, and a gradient g by the result y through it. NaN stays NaN.
struct Tanh {
  UNROLL_DEVICE static float of(float x) { return tanhf(x); }
  UNROLL_DEVICE static float back(float g, float y) { return g * tanh_slope(y); }
};
struct Relu {
  UNROLL_DEVICE static float of(float x) { return x < 0.0F ? 0.0F : x; }
  UNROLL_DEVICE static float back(float g, float y) { return y <= 0.0F ? 0.0F : g; }
};

/// The unit of one sequence that a thread computes.
struct Place {
  int64_t hidden;      // H
  int64_t batch_size;  // B
  int64_t unit;        // of H
  int64_t b;           // of B

  /// Of matrices (T*B, H) and (T*B, GH), at time step t.
  UNROLL_DEVICE int64_t state(int64_t t) const { return (t * batch_size + b) * hidden + unit; }
  UNROLL_DEVICE int64_t gate(int64_t t, int gates, int gate) const {
    return ((t * batch_size + b) * gates + gate) * hidden + unit;
  }
  /// Of a matrix (B, H).
  UNROLL_DEVICE int64_t once() const { return b * hidden + unit; }
};

// Formulas of the cells whose gates all follow from the previous state; a GRU with the reset before
// the product has its own kernels. `begin` loads the state before the first step; `step` computes
// the new h from the product with W_h and the inputs' share; `keep` stores what the way back needs.
// `step_back` computes, from the gradient by h, those by the sums under the gates: `published`,
// which is multiplied by W_h transposed; `keep` stores these.

template <CellKind kCell>
struct Cell;

template <typename Activation>
struct SimpleCell {
  float h = 0;

  template <typename Arguments>
  UNROLL_DEVICE void begin(const Arguments& a, const Place& at) {
    h = a.h_before[at.once()];
  }
  UNROLL_DEVICE void step(const float (&sums)[1], const float (&x)[1]) {
    h = Activation::of(x[0] + sums[0]);
  }
  UNROLL_DEVICE void keep(const ForwardArguments& a, const Place& at, int64_t t) const {
    a.h[at.state(t)] = h;
  }
};

template <>
struct Cell<CellKind::kRnn> : SimpleCell<Tanh> {};
template <>
struct Cell<CellKind::kRnnRelu> : SimpleCell<Relu> {};

template <>
struct Cell<CellKind::kLstm> {
  float h = 0;
  float c = 0;
  float i = 0;
  float f = 0;
  float o = 0;
  float g = 0;

  template <typename Arguments>
  UNROLL_DEVICE void begin(const Arguments& a, const Place& at) {
    h = a.h_before[at.once()];
    c = a.c_before[at.once()];
  }
  UNROLL_DEVICE void step(const float (&sums)[4], const float (&x)[4]) {
    i = sigmoid(x[0] + sums[0]);
    f = sigmoid(x[1] + sums[1]);
    o = sigmoid(x[2] + sums[2]);
    g = tanhf(x[3] + sums[3]);
    c = f * c + i * g;
    h = o * tanhf(c);
  }
  UNROLL_DEVICE void keep(const ForwardArguments& a, const Place& at, int64_t t) const {
    a.gates[at.gate(t, 4, 0)] = i;
    a.gates[at.gate(t, 4, 1)] = f;
    a.gates[at.gate(t, 4, 2)] = o;
    a.gates[at.gate(t, 4, 3)] = g;
    a.c[at.state(t)] = c;
    a.h[at.state(t)] = h;
  }
};

template <>
struct Cell<CellKind::kGruAfter> {
  float h = 0;
  float b_hh = 0;
  float z = 0;
  float r = 0;
  float p = 0;
  float n = 0;

  template <typename Arguments>
  UNROLL_DEVICE void begin(const Arguments& a, const Place& at) {
    h = a.h_before[at.once()];
    b_hh = a.b_hh[at.unit];
  }
  UNROLL_DEVICE void step(const float (&sums)[3], const float (&x)[3]) {
    z = sigmoid(x[0] + sums[0]);
    r = sigmoid(x[1] + sums[1]);
    p = sums[2] + b_hh;
    n = tanhf(x[2] + r * p);
    h = z * h + (1.0F - z) * n;
  }
  UNROLL_DEVICE void keep(const ForwardArguments& a, const Place& at, int64_t t) const {
    a.gates[at.gate(t, 3, 0)] = z;
    a.gates[at.gate(t, 3, 1)] = r;
    a.gates[at.gate(t, 3, 2)] = n;
    a.p[at.state(t)] = p;
    a.h[at.state(t)] = h;
  }
};

template <CellKind kCell>
struct CellBack;

template <typename Activation>
struct SimpleCellBack {
  // What a step reads of the way forward; loaded a step ahead.
  struct Saved {
    float dh, h;
  };
  UNROLL_DEVICE static Saved load(const BackwardArguments& a, const Place& at, int64_t t) {
    return {a.dh[at.state(t)], a.h[at.state(t)]};
  }
  UNROLL_DEVICE void begin(const BackwardArguments&, const Place&) {}
  UNROLL_DEVICE void step_back(const Saved& saved, float dh, float (&published)[1]) {
    published[0] = Activation::back(dh, saved.h);
  }
  UNROLL_DEVICE void keep(const BackwardArguments& a, const Place& at, int64_t t,
                          const float (&published)[1]) const {
    a.dz[at.gate(t, 1, 0)] = published[0];
  }
  // The gradient by the previous h past the product.
  UNROLL_DEVICE float carry() const { return 0; }
  UNROLL_DEVICE void end(const BackwardArguments&, const Place&) {}
};

template <>
struct CellBack<CellKind::kRnn> : SimpleCellBack<Tanh> {};
template <>
struct CellBack<CellKind::kRnnRelu> : SimpleCellBack<Relu> {};

template <>
struct CellBack<CellKind::kLstm> {
  float dc = 0;

  struct Saved {
    float dh, i, f, o, g, c, c_before;
  };
  UNROLL_DEVICE static Saved load(const BackwardArguments& a, const Place& at, int64_t t) {
    return {a.dh[at.state(t)],
            a.gates[at.gate(t, 4, 0)],
            a.gates[at.gate(t, 4, 1)],
            a.gates[at.gate(t, 4, 2)],
            a.gates[at.gate(t, 4, 3)],
            a.c[at.state(t)],
            t > 0 ? a.c[at.state(t - 1)] : a.c_before[at.once()]};
  }
  UNROLL_DEVICE void begin(const BackwardArguments& a, const Place& at) {
    dc = a.dc_after != nullptr ? a.dc_after[at.once()] : 0.0F;
  }
  UNROLL_DEVICE void step_back(const Saved& saved, float dh, float (&published)[4]) {
    const float squashed = tanhf(saved.c);
    dc += dh * saved.o * tanh_slope(squashed);
    published[0] = dc * saved.g * sigmoid_slope(saved.i);
    published[1] = dc * saved.c_before * sigmoid_slope(saved.f);
    published[2] = dh * squashed * sigmoid_slope(saved.o);
    published[3] = dc * saved.i * tanh_slope(saved.g);
    dc *= saved.f;
  }
  UNROLL_DEVICE void keep(const BackwardArguments& a, const Place& at, int64_t t,
                          const float (&published)[4]) const {
    UNROLL_LOOP
    for (int gate = 0; gate < 4; ++gate) {
      a.dz[at.gate(t, 4, gate)] = published[gate];
    }
  }
  UNROLL_DEVICE float carry() const { return 0; }
  UNROLL_DEVICE void end(const BackwardArguments& a, const Place& at) {
    if (a.dc_before != nullptr) {
      a.dc_before[at.once()] = dc;
    }
  }
};

template <>
struct CellBack<CellKind::kGruAfter> {
  float past = 0;
  float dn = 0;

  struct Saved {
    float dh, z, r, n, p, h_before;
  };
  UNROLL_DEVICE static Saved load(const BackwardArguments& a, const Place& at, int64_t t) {
    return {a.dh[at.state(t)],         a.gates[at.gate(t, 3, 0)],
            a.gates[at.gate(t, 3, 1)], a.gates[at.gate(t, 3, 2)],
            a.p[at.state(t)],          t > 0 ? a.h[at.state(t - 1)] : a.h_before[at.once()]};
  }
  UNROLL_DEVICE void begin(const BackwardArguments&, const Place&) {}
  UNROLL_DEVICE void step_back(const Saved& saved, float dh, float (&published)[3]) {
    dn = dh * (1.0F - saved.z) * tanh_slope(saved.n);
    past = dh * saved.z;
    published[0] = dh * (saved.h_before - saved.n) * sigmoid_slope(saved.z);
    published[1] = dn * saved.p * sigmoid_slope(saved.r);
    published[2] = dn * saved.r;
  }
  UNROLL_DEVICE void keep(const BackwardArguments& a, const Place& at, int64_t t,
                          const float (&published)[3]) const {
    a.dz[at.gate(t, 3, 0)] = published[0];
    a.dz[at.gate(t, 3, 1)] = published[1];
    a.dz[at.gate(t, 3, 2)] = dn;
    a.dp[at.state(t)] = published[2];
  }
  UNROLL_DEVICE float carry() const { return past; }
  UNROLL_DEVICE void end(const BackwardArguments&, const Place&) {}
};

}  // namespace unroll::cuda

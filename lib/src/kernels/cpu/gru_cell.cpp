#include "kernels/cpu/cells.h"
#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gru_cell.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include "kernels/cpu/formulas-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

// z h + (1 - z) n
HWY_INLINE Vector mix(Vector z, Vector h, Vector n) { return hn::MulAdd(z, hn::Sub(h, n), n); }

template <typename Form>
HWY_FLATTEN void after_forward(const CellTile& tile, const CellInput& x, CellMemory& memory) {
  constexpr Gates kGates{.count = 3};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 3, [&](const BlockOf<Form>& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(memory.gates, t, block.column(kGates));
    const ValuesView product(memory.n, t, block.column());
    const typename Form::GruState before(memory.h, t, block.column());
    const typename Form::GruState after(memory.h, t + 1, block.column());
    const float* bias = memory.b_hh.at(0, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const float* in = input.at(b) + k;
      const auto Z = Form::gate(hn::Add(load(sums), load(in)));
      round.template take<0>();
      const auto R = Form::gate(hn::Add(load(sums + kBlock), load(in + kBlock)));
      round.template take<1>();
      const auto P = hn::Add(load(sums + 2 * kBlock), load(bias + k));
      const auto N = Form::tanh_of(hn::MulAdd(R, P, load(in + 2 * kBlock)));
      round.template take<2>();
      saved.store(b, k, Z);
      saved.store(b, k + kBlock, R);
      saved.store(b, k + 2 * kBlock, N);
      product.store(b, k, P);
      after.store(b, k, mix(Z, before.load(b, k), N));
      round.template take<3>();
    });
  });
}

template <typename Form>
HWY_FLATTEN void after_backward(const CellTile& tile, CellMemory& memory) {
  constexpr Gates kGates{.count = 3};
  using Gradient = typename Form::Gradient;
  const auto one = hn::Set(kTag, 1.0F);
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const OutsideView outside(tile, memory.dh, block.column());
    const ValuesView saved(memory.gates, t, block.column(kGates));
    const ValuesView product(memory.n, t, block.column());
    const ValuesView past(memory.carry, 0, block.column());
    const typename Form::GruState state(memory.h, t, block.column());
    const Gradient to_z(memory.gates, t, block.column(kGates, 0));
    const Gradient to_r(memory.gates, t, block.column(kGates, 1));
    const Gradient to_p(memory.gates, t, block.column(kGates, 2));
    const Gradient to_n(memory.n, t, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const auto Z = saved.load(b, k);
      const auto R = saved.load(b, k + kBlock);
      const auto N = saved.load(b, k + 2 * kBlock);
      const auto grad_h = outside.added_to(hn::Add(load(sums), past.load(b, k)), b, k);
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
      past.store(b, k, hn::Mul(grad_h, Z));
      round.template take<3>();
    });
  });
}

template <typename Form>
HWY_FLATTEN void before_gates_forward(const CellTile& tile, const CellInput& x,
                                      CellMemory& memory) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 2, [&](const BlockOf<Form>& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(memory.gates, t, block.column(kGates));
    const typename Form::GruState state(memory.h, t, block.column());
    const typename Form::State reset(memory.rh, t, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const float* in = input.at(b) + k;
      const auto R = Form::gate(hn::Add(load(sums + kBlock), load(in + kBlock)));
      round.template take<0>();
      round.template take<1>();
      saved.store(b, k, Form::gate(hn::Add(load(sums), load(in))));
      round.template take<2>();
      saved.store(b, k + kBlock, R);
      reset.store(b, k, hn::Mul(R, state.load(b, k)));
      round.template take<3>();
    });
  });
}

template <typename Form>
HWY_FLATTEN void before_state_forward(const CellTile& tile, const CellInput& x,
                                      CellMemory& memory) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const InputView input(tile, x, block.column());
    const ValuesView z(memory.gates, t, block.column(kGates));
    const ValuesView candidate(memory.n, t, block.column());
    const typename Form::GruState before(memory.h, t, block.column());
    const typename Form::GruState after(memory.h, t + 1, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const auto N = Form::tanh_of(hn::Add(load(sums), load(input.at(b) + k)));
      candidate.store(b, k, N);
      after.store(b, k, mix(z.load(b, k), before.load(b, k), N));
    });
  });
}

template <typename Form>
HWY_FLATTEN void before_state_backward(const CellTile& tile, CellMemory& memory) {
  constexpr Gates kGates{.count = 2};
  using Gradient = typename Form::Gradient;
  const auto one = hn::Set(kTag, 1.0F);
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const OutsideView outside(tile, memory.dh, block.column());
    const ValuesView z(memory.gates, t, block.column(kGates));
    const ValuesView candidate(memory.n, t, block.column());
    const ValuesView past(memory.carry, 0, block.column());
    const typename Form::GruState state(memory.h, t, block.column());
    const Gradient to_z(memory.gates, t, block.column(kGates));
    const Gradient to_n(memory.n, t, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const auto Z = z.load(b, k);
      const auto N = candidate.load(b, k);
      const auto grad_h = outside.added_to(hn::Add(load(sums), past.load(b, k)), b, k);
      const auto grad_z = hn::Mul(grad_h, hn::Sub(state.load(b, k), N));
      to_z.store(b, k, hn::Mul(grad_z, sigmoid_slope(Z)));
      to_n.store(b, k, through_tanh(hn::Mul(grad_h, hn::Sub(one, Z)), N));
      past.store(b, k, hn::Mul(grad_h, Z));
    });
  });
}

template <typename Form>
HWY_FLATTEN void before_gates_backward(const CellTile& tile, CellMemory& memory) {
  constexpr Gates kGates{.count = 2};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const ValuesView r(memory.gates, t, block.column(kGates, 1));
    const ValuesView past(memory.carry, 0, block.column());
    const typename Form::GruState state(memory.h, t, block.column());
    const typename Form::Gradient to_r(memory.gates, t, block.column(kGates, 1));
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k) HWY_ATTR {
      const auto R = r.load(b, k);
      const auto drh = load(sums);
      const auto grad_r = hn::Mul(drh, state.load(b, k));
      to_r.store(b, k, hn::Mul(grad_r, sigmoid_slope(R)));
      past.store(b, k, hn::MulAdd(drh, R, past.load(b, k)));
    });
  });
}

void gru_forward(const CellTile& tile, const CellInput& x, CellMemory& memory) {
  in_form(memory, [&]<typename Form>(Form) {
    if (memory.cell == CellKind::kGruAfter) {
      after_forward<Form>(tile, x, memory);
    } else {
      (tile.phase == 0 ? before_gates_forward<Form> : before_state_forward<Form>)(tile, x, memory);
    }
  });
}

void gru_backward(const CellTile& tile, CellMemory& memory) {
  in_form(memory, [&]<typename Form>(Form) {
    if (memory.cell == CellKind::kGruAfter) {
      after_backward<Form>(tile, memory);
    } else {
      (tile.phase == 0 ? before_state_backward<Form> : before_gates_backward<Form>)(tile, memory);
    }
  });
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

UNROLL_DISPATCH_CELL(gru)

}  // namespace unroll::cpu
#endif

#include "kernels/cpu/cells.h"
#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lstm_cell.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include "kernels/cpu/formulas-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

template <typename Form>
HWY_FLATTEN void forward(const CellTile& tile, const CellInput& x, CellMemory& memory) {
  constexpr Gates kGates{.count = 4};
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 4, [&](const BlockOf<Form>& block) HWY_ATTR {
    const InputView input(tile, x, block.column(kGates));
    const ValuesView saved(memory.gates, t, block.column(kGates));
    const ValuesView cell(memory.c, t * tile.batch_size, block.column());
    const ValuesView next_cell(memory.c, (t + 1) * tile.batch_size, block.column());
    const typename Form::State state(memory.h, t + 1, block.column());
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const float* in = input.at(b) + k;
      const auto I = Form::gate(hn::Add(load(sums), load(in)));
      round.template take<0>();
      const auto F = Form::gate(hn::Add(load(sums + kBlock), load(in + kBlock)));
      round.template take<1>();
      const auto O = Form::gate(hn::Add(load(sums + 2 * kBlock), load(in + 2 * kBlock)));
      round.template take<2>();
      const auto G = Form::tanh_of(hn::Add(load(sums + 3 * kBlock), load(in + 3 * kBlock)));
      const auto C = hn::MulAdd(F, cell.load(b, k), hn::Mul(I, G));
      saved.store(b, k, I);
      saved.store(b, k + kBlock, F);
      saved.store(b, k + 2 * kBlock, O);
      saved.store(b, k + 3 * kBlock, G);
      next_cell.store(b, k, C);
      round.template take<3>();
      state.store(b, k, hn::Mul(O, Form::tanh_of(C)));
    });
  });
}

template <typename Form>
HWY_FLATTEN void backward(const CellTile& tile, CellMemory& memory) {
  constexpr Gates kGates{.count = 4};
  using Gradient = typename Form::Gradient;
  const int64_t t = tile.time;
  for_each_block<Form>(tile, 1, [&](const BlockOf<Form>& block) HWY_ATTR {
    const OutsideView outside(tile, memory.dh, block.column());
    const ValuesView saved(memory.gates, t, block.column(kGates));
    const ValuesView cell(memory.c, t * tile.batch_size, block.column());
    const ValuesView next_cell(memory.c, (t + 1) * tile.batch_size, block.column());
    const ValuesView carry(memory.carry, 0, block.column());
    const Gradient to_i(memory.gates, t, block.column(kGates, 0));
    const Gradient to_f(memory.gates, t, block.column(kGates, 1));
    const Gradient to_o(memory.gates, t, block.column(kGates, 2));
    const Gradient to_g(memory.gates, t, block.column(kGates, 3));
    block.for_each_vector([&](const float* sums, int64_t b, int64_t k, auto& round) HWY_ATTR {
      const auto I = saved.load(b, k);
      const auto F = saved.load(b, k + kBlock);
      const auto O = saved.load(b, k + 2 * kBlock);
      const auto G = saved.load(b, k + 3 * kBlock);
      const auto tanh_c = Form::tanh_of(next_cell.load(b, k));
      const auto grad_h = outside.added_to(load(sums), b, k);
      const auto grad_c = hn::Add(carry.load(b, k), through_tanh(hn::Mul(grad_h, O), tanh_c));
      to_i.store(b, k, hn::Mul(hn::Mul(grad_c, G), sigmoid_slope(I)));
      round.template take<0>();
      to_f.store(b, k, hn::Mul(hn::Mul(grad_c, cell.load(b, k)), sigmoid_slope(F)));
      round.template take<1>();
      to_o.store(b, k, hn::Mul(hn::Mul(grad_h, tanh_c), sigmoid_slope(O)));
      round.template take<2>();
      to_g.store(b, k, through_tanh(hn::Mul(grad_c, I), G));
      carry.store(b, k, hn::Mul(grad_c, F));
      round.template take<3>();
    });
  });
}

void lstm_forward(const CellTile& tile, const CellInput& x, CellMemory& memory) {
  in_form(memory, [&]<typename Form>(Form) { forward<Form>(tile, x, memory); });
}

void lstm_backward(const CellTile& tile, CellMemory& memory) {
  in_form(memory, [&]<typename Form>(Form) { backward<Form>(tile, memory); });
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

UNROLL_DISPATCH_CELL(lstm)

}  // namespace unroll::cpu
#endif

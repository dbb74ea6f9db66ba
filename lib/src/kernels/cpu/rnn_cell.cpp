#include "kernels/cpu/cells.h"
#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rnn_cell.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include "kernels/cpu/formulas-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

// h' of x, and the gradient by x from g, that by h'. NaN stays NaN.
template <typename Form>
struct Tanh {
  static HWY_INLINE Vector of(Vector x) { return Form::tanh_of(x); }
  static HWY_INLINE Vector back(Vector g, Vector h) { return through_tanh(g, h); }
};
template <typename Form>
struct Relu {
  static HWY_INLINE Vector of(Vector x) { return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(kTag)), x); }
  static HWY_INLINE Vector back(Vector g, Vector h) {
    return hn::IfThenZeroElse(hn::Le(h, hn::Zero(kTag)), g);
  }
};

template <typename Form, template <typename> class Activation>
HWY_FLATTEN void forward(const CellTile& tile, const CellInput& x, CellMemory& memory) {
  const int64_t column = tile.block * kBlock;
  const InputView input(tile, x, column);
  const typename Form::State state(memory.h, tile.time + 1, column);
  const auto row = [&](int64_t b) HWY_ATTR { return input.at(b); };
  for_each_vector<Form>(tile, row,
                        [&](const float* sums, int64_t b, const float* in, int64_t c) HWY_ATTR {
                          const auto sum = hn::Add(load(sums), load(in + c));
                          state.store(b, c, Activation<Form>::of(sum));
                        });
}

template <typename Form, template <typename> class Activation>
HWY_FLATTEN void backward(const CellTile& tile, CellMemory& memory) {
  const int64_t column = tile.block * kBlock;
  const OutsideView outside(tile, memory.dh, column);
  const typename Form::State state(memory.h, tile.time + 1, column);
  const typename Form::Gradient gradient(memory.gates, tile.time, column);
  const auto row = [&](int64_t b) HWY_ATTR { return outside.at(b); };
  for_each_vector<Form>(
      tile, row, [&](const float* sums, int64_t b, const float* outside_h, int64_t c) HWY_ATTR {
        auto grad_h = load(sums);
        if (outside_h != nullptr) {
          grad_h = hn::Add(grad_h, load(outside_h + c));
        }
        gradient.store(b, c, Activation<Form>::back(grad_h, state.load(b, c)));
      });
}

void rnn_forward(const CellTile& tile, const CellInput& x, CellMemory& memory) {
  in_form(memory, [&]<typename Form>(Form) {
    (memory.cell == CellKind::kRnnRelu ? forward<Form, Relu> : forward<Form, Tanh>)(tile, x,
                                                                                    memory);
  });
}

void rnn_backward(const CellTile& tile, CellMemory& memory) {
  in_form(memory, [&]<typename Form>(Form) {
    (memory.cell == CellKind::kRnnRelu ? backward<Form, Relu> : backward<Form, Tanh>)(tile, memory);
  });
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

UNROLL_DISPATCH_CELL(rnn)

}  // namespace unroll::cpu
#endif

#include "kernels/cpu/cells.h"
#include "kernels/cpu/targets.h"

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
HWY_FLATTEN void forward_in(const CellTile& tile, const CellInput& x, Activations& h) {
  const int64_t column = tile.block * kBlock;
  const InputView input(tile, x, column);
  const typename Form::State state(h, tile.time + 1, column);
  const auto row = [&](int64_t b) HWY_ATTR { return input.at(b); };
  for_each_vector<Form>(tile, row,
                        [&](const float* sums, int64_t b, const float* in, int64_t c) HWY_ATTR {
                          const auto sum = hn::Add(load(sums), load(in + c));
                          state.store(b, c, Activation<Form>::of(sum));
                        });
}

template <typename Form, template <typename> class Activation>
HWY_FLATTEN void backward_in(const CellTile& tile, const Panels& dh, const Activations& h,
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
        gradient.store(b, c, Activation<Form>::back(grad_h, state.load(b, c)));
      });
}

template <template <typename> class Activation>
void forward(const CellTile& tile, const CellInput& x, Activations& h) {
  in_form(h.left().parts(), [&]<typename Form>(Form) { forward_in<Form, Activation>(tile, x, h); });
}

template <template <typename> class Activation>
void backward(const CellTile& tile, const Panels& dh, const Activations& h, Activations& dz) {
  in_form(h.left().parts(),
          [&]<typename Form>(Form) { backward_in<Form, Activation>(tile, dh, h, dz); });
}

void rnn_forward(const CellTile& tile, const CellInput& x, Activations& h) {
  forward<Tanh>(tile, x, h);
}
void rnn_backward(const CellTile& tile, const Panels& dh, const Activations& h, Activations& dz) {
  backward<Tanh>(tile, dh, h, dz);
}
void rnn_relu_forward(const CellTile& tile, const CellInput& x, Activations& h) {
  forward<Relu>(tile, x, h);
}
void rnn_relu_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                       Activations& dz) {
  backward<Relu>(tile, dh, h, dz);
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(rnn_forward);
HWY_EXPORT(rnn_backward);
HWY_EXPORT(rnn_relu_forward);
HWY_EXPORT(rnn_relu_backward);

void rnn_forward(const CellTile& tile, const CellInput& x, Activations& h) {
  HWY_DYNAMIC_DISPATCH(rnn_forward)(tile, x, h);
}

void rnn_backward(const CellTile& tile, const Panels& dh, const Activations& h, Activations& dz) {
  HWY_DYNAMIC_DISPATCH(rnn_backward)(tile, dh, h, dz);
}

void rnn_relu_forward(const CellTile& tile, const CellInput& x, Activations& h) {
  HWY_DYNAMIC_DISPATCH(rnn_relu_forward)(tile, x, h);
}

void rnn_relu_backward(const CellTile& tile, const Panels& dh, const Activations& h,
                       Activations& dz) {
  HWY_DYNAMIC_DISPATCH(rnn_relu_backward)(tile, dh, h, dz);
}

}  // namespace unroll::cpu
#endif

#include "layers/cpu_layers.h"

#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/formatted.h"
#include "layers/dropout.h"
#include "layers/node.h"
#include "layers/tensor_pointers.h"
#include "models/arguments.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensors = std::vector<torch::Tensor>;

struct LayersCall : torch::CustomClassHolder {
  Layout layout{};
  std::shared_ptr<LayerStacks> stacks;
  std::shared_ptr<cpu::LayerStack> stack;  // null where it is to be computed anew
  Tensors masks;  // (T,B,H) of each layer but the last, where the stack reads them
  bool with_backward = false;

  std::size_t weights() const { return layer_weight_count(layout); }
  std::size_t states() const { return state_count(layout); }
};

State contiguous_states(const LayersCall& call, at::TensorList tensors) {
  State states;
  for (const auto& s : tensors.slice(call.weights(), call.states())) {
    states.push_back(s.contiguous());
  }
  return states;
}

// Arguments: the weights, the states, the input. Results: the outputs, the states.
class LayersNode : public torch::autograd::Function<LayersNode> {
 public:
  static Tensors forward(torch::autograd::AutogradContext* context,
                         const c10::intrusive_ptr<LayersCall>& call, at::TensorList tensors) {
    const auto& x = tensors.back();
    const auto H = hidden_of(call->layout, tensors);
    Tensors results{torch::empty({x.size(0), x.size(1), H}, x.options())};
    compute(*call, tensors, call->masks, write(results[0]));
    State after;
    for (const auto& s : tensors.slice(call->weights(), call->states())) {
      after.push_back(torch::empty_like(s, torch::MemoryFormat::Contiguous));
    }
    call->stack->copy_state(pointers(after));
    results.insert(results.end(), after.begin(), after.end());
    if (call->with_backward) {
      context->set_materialize_grads(false);
      context->saved_data["call"] = c10::IValue::make_capsule(call);
      auto saved = tensors.vec();
      saved.insert(saved.end(), call->masks.begin(), call->masks.end());
      context->save_for_backward(std::move(saved));
      if (call->stack.use_count() == 1) {
        call->stack = nullptr;  // one too many to be kept
      }
    }
    return results;
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& upstream) {
    refuse_second_derivatives();
    const auto call =
        c10::static_intrusive_pointer_cast<LayersCall>(context->saved_data["call"].toCapsule());
    auto tensors = context->get_saved_variables();
    const auto arguments = tensors.begin() + call->weights() + call->states() + 1;
    const Tensors masks(arguments, tensors.end());
    tensors.erase(arguments, tensors.end());
    const auto read_by_stack = std::exchange(call->masks, {});
    if (!call->stack) {
      // Its memory was needed elsewhere, or a way back has written over it.
      compute(*call, tensors, masks, /*outputs=*/nullptr);
    }
    const auto stack = std::exchange(call->stack, nullptr);
    const auto by_outputs = contiguous_or_undefined(upstream[0]);
    stack->last().set_outside_gradient(read(by_outputs));
    State by_state;
    for (std::size_t i = 1; i < upstream.size(); ++i) {
      by_state.push_back(contiguous_or_undefined(upstream[i]));
    }
    const auto needs = [&](std::size_t first, std::size_t count) {
      bool any = false;
      for (std::size_t i = first; i < first + count; ++i) {
        any = any || context->needs_input_grad(i);
      }
      return any;
    };
    const auto room_for = [&](std::size_t first, std::size_t count) {
      Tensors rooms(count);
      if (needs(first, count)) {
        std::transform(tensors.begin() + static_cast<std::ptrdiff_t>(first),
                       tensors.begin() + static_cast<std::ptrdiff_t>(first + count), rooms.begin(),
                       [](const torch::Tensor& t) {
                         return torch::empty_like(t, torch::MemoryFormat::Contiguous);
                       });
      }
      return rooms;
    };
    auto gradients = room_for(0, call->weights());
    auto before = room_for(call->weights(), call->states());
    auto dx = room_for(call->weights() + call->states(), 1).front();
    stack->backward(gradients.front().defined() ? layer_parameters_of(call->layout, gradients)
                                                : std::vector<cpu::LayerParameters>(),
                    pointers(by_state));
    if (before.front().defined()) {
      stack->copy_state_gradient(pointers(before));
    }
    if (dx.defined()) {
      stack->copy_input_gradient(write(dx));
    }
    gradients.insert(gradients.begin(), torch::Tensor());  // the call itself
    gradients.insert(gradients.end(), before.begin(), before.end());
    gradients.push_back(dx);
    return gradients;
  }

 private:
  static void compute(LayersCall& call, at::TensorList tensors, const Tensors& masks_between,
                      float* outputs) {
    const auto x = tensors.back().contiguous();
    const auto state = contiguous_states(call, tensors);
    const auto masks = read(masks_between);
    call.stack = call.stacks->take();
    call.stack->forward(layer_parameters_of(call.layout, tensors.slice(0, call.weights())),
                        {.steps = x.size(0),
                         .batch_size = x.size(1),
                         .x = read(x),
                         .state = pointers(state),
                         .masks = masks,
                         .outputs = outputs,
                         .with_backward = call.with_backward});
  }
};

}  // namespace

std::pair<torch::Tensor, State> run_layers_on_cpu(const Layout& layout, at::TensorList weights,
                                                  const torch::Tensor& x, const State& state,
                                                  const std::shared_ptr<LayerStacks>& stacks,
                                                  double dropout,
                                                  const std::optional<at::Generator>& generator) {
  check_batch_shape(x.size(1), x.size(0));
  check_shape(x, {x.size(0), x.size(1), inputs_of(layout, weights)}, "the inputs");
  const int64_t H = hidden_of(layout, weights);
  check_states(layout, state, x.size(1), H, weights.front());
  auto tensors = weights.vec();
  tensors.insert(tensors.end(), state.begin(), state.end());
  tensors.push_back(x);
  const auto call = c10::make_intrusive<LayersCall>();
  call->layout = layout;
  call->stacks = stacks;
  call->masks = draw_masks(dropout, generator, layout.layers, {x.size(0), x.size(1), H});
  call->with_backward = wants_gradient(tensors);
  auto results = LayersNode::apply(call, at::TensorList(tensors));
  return {results[0], State(results.begin() + 1, results.end())};
}

int bf16_parts(Precision precision) {
  return precision == Precision::kFp32 ? 0 : precision == Precision::kBf16 ? 1 : 2;
}

}  // namespace unroll

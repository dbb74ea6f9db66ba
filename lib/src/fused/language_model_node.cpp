#include "fused/language_model_node.h"

#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/formatted.h"
#include "kernels/cpu/matrices/rows.h"
#include "layers/cpu_layers.h"
#include "layers/dropout.h"
#include "layers/node.h"
#include "layers/tensor_pointers.h"
#include "models/arguments.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensors = std::vector<torch::Tensor>;

// Arguments: the weights, the states. Results: logits or loss, the states.
class LanguageModelNode : public torch::autograd::Function<LanguageModelNode> {
 public:
  static Tensors forward(torch::autograd::AutogradContext* context,
                         const c10::intrusive_ptr<LanguageModelCall>& call,
                         at::TensorList tensors) {
    const auto weights = weight_count(call->layout);
    const auto states = state_count(call->layout);
    const auto parameters = parameters_of(call->layout, tensors.slice(0, weights));
    const int64_t V = parameters.output.W_hq.columns;

    State state;
    for (std::size_t i = weights; i < weights + states; ++i) {
      state.push_back(tensors[i].contiguous());
    }
    const int64_t steps = call->tokens.size(0);
    const int64_t B = call->tokens.size(1);
    check_batch_shape(B, steps);
    if (const int64_t rows = parameters.layers.front().gates.front().W_x.rows; rows != V) {
      throw Error(formatted("W_x must have a row for each of {} tokens, got {}", V, rows));
    }
    auto& pass = *call->pass;
    call->masks = draw_masks(call->dropout, call->generator, call->layout.layers,
                             {steps, B, parameters.output.W_hq.rows});
    const auto masks = read(call->masks);
    pass.forward(parameters, {.steps = steps,
                              .batch_size = B,
                              .tokens = call->tokens.data_ptr<int64_t>(),
                              .state = pointers(state),
                              .masks = masks,
                              .with_backward = call->with_backward});

    Tensors results;
    if (call->labels.defined()) {
      const double loss = pass.mean_cross_entropy(call->labels.data_ptr<int64_t>());
      results.push_back(torch::scalar_tensor(loss, torch::kFloat32));
    } else {
      results.push_back(torch::empty({steps * B, V}, torch::kFloat32));
      cpu::copy_rows_out(pass.logits(), 0, steps * B, V, results[0].data_ptr<float>());
    }
    State after;
    for (const auto& s : state) {
      after.push_back(torch::empty_like(s));
    }
    pass.copy_state(pointers(after));
    results.insert(results.end(), after.begin(), after.end());

    context->set_materialize_grads(false);
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    if (call->with_backward) {
      // Only their shapes are needed: the products read packed copies.
      context->saved_data["tensors"] = tensors.vec();
    }
    return results;
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& upstream) {
    const auto call = c10::static_intrusive_pointer_cast<LanguageModelCall>(
        context->saved_data["call"].toCapsule());
    refuse_second_derivatives();
    if (!call->pass) {
      throw Error("a fused graph can be differentiated once; compute the loss again");
    }
    const auto tensors = context->saved_data["tensors"].toTensorVector();
    const auto weights = weight_count(call->layout);
    const auto states = state_count(call->layout);
    auto& pass = *call->pass;
    seed_logits_gradient(*call, upstream[0]);

    State state_gradient;
    for (std::size_t i = 0; i < states; ++i) {
      state_gradient.push_back(contiguous_or_undefined(upstream[1 + i]));
    }
    Tensors gradients;
    for (std::size_t i = 0; i < weights; ++i) {
      // Of W_x only the rows of tokens that occur are written.
      gradients.push_back(has_row_of_each_token(call->layout, i) ? torch::zeros_like(tensors[i])
                                                                 : torch::empty_like(tensors[i]));
    }
    cpu::LayerDone done;
    if (call->on_gradient) {
      done = [&](int64_t layer) {
        const auto own = weights_of_layer(call->layout, tensors, layer);
        const auto by_own = weights_of_layer(call->layout, gradients, layer);
        for (std::size_t i = own.size(); i-- > 0;) {  // as all are reported, the last one first
          call->on_gradient(own[i], by_own[i]);
        }
      };
    }
    pass.backward(parameters_of(call->layout, gradients), pointers(state_gradient), done);

    const auto needed = [&](std::size_t i) { return context->needs_input_grad(i); };
    State before(states);
    if (needed(weights) || needed(weights + states - 1)) {
      for (std::size_t i = 0; i < states; ++i) {
        before[i] = torch::empty_like(tensors[weights + i], torch::MemoryFormat::Contiguous);
      }
      pass.copy_state_gradient(pointers(before));
    }
    gradients.insert(gradients.end(), before.begin(), before.end());
    gradients.insert(gradients.begin(), torch::Tensor());  // the call itself
    // A loss that is kept must not keep the memory.
    call->pass.reset();
    call->masks.clear();
    call->on_gradient = nullptr;
    context->saved_data.erase("tensors");
    return gradients;
  }

 private:
  // The gradient by the logits takes their place.
  static void seed_logits_gradient(const LanguageModelCall& call, const torch::Tensor& upstream) {
    auto& to = call.pass->logits_gradient();
    if (!call.labels.defined() || !upstream.defined()) {
      const auto gradient = contiguous_or_undefined(upstream);
      cpu::copy_rows_in(read(gradient), 0, to.rows(), to.columns(), to);
      return;
    }
    const auto factor = upstream.item<float>();
    if (factor != 1.0F) {
      cpu::scale(factor, to);
    }
  }
};

}  // namespace

std::pair<torch::Tensor, State> run(const c10::intrusive_ptr<LanguageModelCall>& call,
                                    const Tensors& tensors) {
  call->with_backward = wants_gradient(tensors);
  auto results = LanguageModelNode::apply(call, at::TensorList(tensors));
  return {results[0], State(results.begin() + 1, results.end())};
}

}  // namespace unroll

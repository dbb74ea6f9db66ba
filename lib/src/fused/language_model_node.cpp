#include "fused/language_model_node.h"

#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/formatted.h"
#include "fused/tensor_pointers.h"
#include "kernels/cpu/matrices/rows.h"
#include "models/arguments.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensors = std::vector<torch::Tensor>;

cpu::StatePointers pointers(const State& state) {
  return {.h = !state.empty() && state[0].defined() ? state[0].data_ptr<float>() : nullptr,
          .c = state.size() > 1 && state[1].defined() ? state[1].data_ptr<float>() : nullptr};
}

// Arguments: the weights, the states, then the input if it is not tokens. Results: logits or loss,
// then the states.
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
    const auto& inputs = call->tokens.defined() ? call->tokens : tensors.back();
    const int64_t steps = inputs.size(0);
    const int64_t B = inputs.size(1);
    check_inputs(*call, tensors, parameters, B);
    auto& pass = *call->pass;
    if (call->tokens.defined()) {
      const auto masks = draw_masks(*call, {steps, B, parameters.output.W_hq.rows});
      pass.forward(call->tokens.data_ptr<int64_t>(), steps, B, parameters, pointers(state),
                   call->with_backward, masks);
    } else {
      const auto x = inputs.contiguous();
      pass.forward(x.data_ptr<float>(), x.size(2), steps, B, parameters, pointers(state),
                   call->with_backward);
    }

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
    if (torch::GradMode::is_enabled()) {
      throw Error("the fused backend has no second derivatives; choose compute plain");
    }
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
      gradients.push_back(call->tokens.defined() && has_row_of_each_token(call->layout, i)
                              ? torch::zeros_like(tensors[i])
                              : torch::empty_like(tensors[i]));
    }
    pass.backward(parameters_of(call->layout, gradients), pointers(state_gradient));

    const auto needed = [&](std::size_t i) { return context->needs_input_grad(i); };
    State before(states);
    if (needed(weights) || needed(weights + states - 1)) {
      for (std::size_t i = 0; i < states; ++i) {
        before[i] = torch::empty_like(tensors[weights + i], torch::MemoryFormat::Contiguous);
      }
      pass.copy_state_gradient(pointers(before));
    }
    gradients.insert(gradients.end(), before.begin(), before.end());
    if (!call->tokens.defined()) {
      torch::Tensor dx;
      if (needed(weights + states)) {
        dx = torch::empty_like(tensors.back(), torch::MemoryFormat::Contiguous);
        pass.copy_input_gradient(dx.data_ptr<float>());
      }
      gradients.push_back(dx);
    }
    gradients.insert(gradients.begin(), torch::Tensor());  // the call itself
    // A loss that is kept must not keep the memory.
    call->pass.reset();
    call->masks.clear();
    context->saved_data.erase("tensors");
    return gradients;
  }

 private:
  // The input against the weights.
  static void check_inputs(const LanguageModelCall& call, at::TensorList tensors,
                           const cpu::ModelParameters& parameters, int64_t B) {
    const int64_t V = parameters.output.W_hq.columns;
    const int64_t steps = call.tokens.defined() ? call.tokens.size(0) : tensors.back().size(0);
    if (steps < 1 || B < 1) {
      throw Error(
          formatted("a batch must have at least 1 sequence of 1 step, got {} of {}", B, steps));
    }
    const int64_t columns = parameters.layers.front().gates.front().W_x.rows;
    if (!call.tokens.defined()) {
      check_shape(tensors.back(), {tensors.back().size(0), B, columns}, "the inputs");
    } else if (columns != V) {
      throw Error(formatted("W_x must have a row for each of {} tokens, got {}", V, columns));
    }
  }

  // What each layer's outputs (T,B,H) are multiplied by, drawn as at::dropout draws it for
  // torch::nn's layers: the same state of the generator gives the same masks.
  static std::vector<const float*> draw_masks(LanguageModelCall& call, at::IntArrayRef sizes) {
    std::vector<const float*> masks;
    for (int64_t l = 1; call.dropout > 0 && l < call.layout.layers; ++l) {
      auto mask = torch::empty(sizes, torch::kFloat32);
      mask.bernoulli_(1 - call.dropout, call.generator).div_(1 - call.dropout);
      masks.push_back(mask.const_data_ptr<float>());
      call.masks.push_back(std::move(mask));
    }
    return masks;
  }

  // The gradient by the logits takes their place.
  static void seed_logits_gradient(const LanguageModelCall& call, const torch::Tensor& upstream) {
    auto& to = call.pass->logits_gradient();
    if (!call.labels.defined() || !upstream.defined()) {
      const auto gradient = contiguous_or_undefined(upstream);
      cpu::copy_rows_in(gradient.defined() ? gradient.data_ptr<float>() : nullptr, to.rows(),
                        to.columns(), to);
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
  call->with_backward =
      torch::GradMode::is_enabled() &&
      std::any_of(tensors.begin(), tensors.end(), [](const auto& t) { return t.requires_grad(); });
  auto results = LanguageModelNode::apply(call, at::TensorList(tensors));
  return {results[0], State(results.begin() + 1, results.end())};
}

bool all_float_on_cpu(at::TensorList tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const torch::Tensor& t) {
    return t.defined() && t.is_cpu() && t.scalar_type() == torch::kFloat32;
  });
}

}  // namespace unroll

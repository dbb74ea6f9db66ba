// unroll's layers as operators of LibTorch, for Python:
// torch.ops.load_library("libunroll_operators.so").
//
// lstm, gru, rnn_tanh and rnn_relu take what torch.lstm and its siblings take, and call `layers`.
// Run directly, that is the layers' own autograd node. When torch.compile traces a program, the
// forward and the backward pass become an operator each: `layers_forward` also returns a small
// tensor that stands for what it left in memory, and `layers_backward` uses that, or computes the
// forward pass again if it is given a copy of the tensor. The functions called meta only give
// shapes.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "layers/node.h"
#include "operators/layer_call.h"
#include "operators/recorded_pass.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensor = at::Tensor;
using Tensors = std::vector<Tensor>;
using Gradients = c10::List<std::optional<Tensor>>;

// The operator for tensors that require no gradient.
LayerResult layers(c10::string_view name, const Tensor& input, at::TensorList hx,
                   at::TensorList params, bool has_biases, int64_t num_layers, double dropout,
                   bool train, bool bidirectional, bool batch_first) {
  return call_layers(name, input, hx, params,
                     {has_biases, num_layers, dropout, train, bidirectional, batch_first});
}

// Only the shapes, for torch.compile.
LayerResult layers_meta(c10::string_view name, const Tensor& input, at::TensorList hx,
                        at::TensorList params, bool has_biases, int64_t num_layers, double dropout,
                        bool train, bool bidirectional, bool batch_first) {
  return empty_result(name, input, hx, params,
                      {has_biases, num_layers, dropout, train, bidirectional, batch_first});
}

using ResultWithMemory = std::tuple<Tensor, Tensor, Tensor, Tensor>;

// `layers` for a backward pass; the last result stands for its memory.
ResultWithMemory layers_forward(c10::string_view name, const Tensor& input, at::TensorList hx,
                                at::TensorList params, bool has_biases, int64_t num_layers,
                                bool bidirectional, bool batch_first) {
  const auto pass = record_pass(
      name, input, hx, params,
      {has_biases, num_layers, /*dropout=*/0, /*train=*/true, bidirectional, batch_first});
  const auto& results = pass->results;
  return {results[0].detach(), results[1].detach(), results[2].detach(), tensor_of(pass)};
}

ResultWithMemory layers_forward_meta(c10::string_view name, const Tensor& input, at::TensorList hx,
                                     at::TensorList params, bool has_biases, int64_t num_layers,
                                     bool bidirectional, bool batch_first) {
  auto [outputs, h, c] = layers_meta(name, input, hx, params, has_biases, num_layers, 0, true,
                                     bidirectional, batch_first);
  return {outputs, h, c, input.new_empty({1}, at::kLong)};
}

// The gradients by the input, the states and the parameters, of such gradients by the results.
Tensors layers_backward(c10::string_view name, const Tensor& input, at::TensorList hx,
                        at::TensorList params, bool has_biases, int64_t num_layers,
                        bool bidirectional, bool batch_first, const Tensor& memory,
                        const Gradients& gradients) {
  auto pass = pass_of(memory);
  if (!pass) {
    pass = record_pass(
        name, input, hx, params,
        {has_biases, num_layers, /*dropout=*/0, /*train=*/true, bidirectional, batch_first});
  }
  Tensors results;
  Tensors by_results;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const std::optional<Tensor> gradient = gradients[i];
    if (gradient && pass->results.at(i).requires_grad()) {
      results.push_back(pass->results[i]);
      by_results.push_back(*gradient);
    }
  }
  // Kept, as two calls that are equal may have become one
  auto by_arguments =
      torch::autograd::grad(results, pass->arguments, by_results, /*retain_graph=*/true,
                            /*create_graph=*/false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < by_arguments.size(); ++i) {
    by_arguments[i] = by_arguments[i].defined() ? by_arguments[i].contiguous()
                                                : at::zeros_like(pass->arguments[i]);
  }
  return by_arguments;
}

Tensors layers_backward_meta(c10::string_view /*name*/, const Tensor& input, at::TensorList hx,
                             at::TensorList params, bool /*has_biases*/, int64_t /*num_layers*/,
                             bool /*bidirectional*/, bool /*batch_first*/, const Tensor& /*memory*/,
                             const Gradients& /*gradients*/) {
  Tensors by_arguments{at::empty_like(input, at::MemoryFormat::Contiguous)};
  for (const auto list : {hx, params}) {
    for (const auto& tensor : list) {
      by_arguments.push_back(at::empty_like(tensor, at::MemoryFormat::Contiguous));
    }
  }
  return by_arguments;
}

// The operator of this name, to be called through LibTorch's dispatcher.
template <typename Function>
c10::TypedOperatorHandle<Function> operator_called(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Function>();
}

LayerResult dispatch_layers(c10::string_view name, const Tensor& input, at::TensorList hx,
                            at::TensorList params, const LayerSettings& s) {
  static const auto op = operator_called<decltype(layers)>("unroll::layers");
  return op.call(name, input, hx, params, s.has_biases, s.num_layers, s.dropout, s.train,
                 s.bidirectional, s.batch_first);
}

// The node of a program that is traced: both of its passes are operators.
class TracedLayers : public torch::autograd::Function<TracedLayers> {
 public:
  // tensors: the input, the states, the parameters
  static Tensors forward(torch::autograd::AutogradContext* context, const std::string& name,
                         const LayerSettings& settings, int64_t states, at::TensorList tensors) {
    static const auto op = operator_called<decltype(layers_forward)>("unroll::layers_forward");
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto count = static_cast<std::size_t>(states);
    auto [outputs, h, c, memory] = op.call(
        name, tensors[0], tensors.slice(1, count), tensors.slice(1 + count), settings.has_biases,
        settings.num_layers, settings.bidirectional, settings.batch_first);
    auto saved = tensors.vec();
    saved.push_back(memory);
    context->save_for_backward(std::move(saved));
    context->set_materialize_grads(false);
    context->saved_data["name"] = name;
    context->saved_data["states"] = states;
    context->saved_data["has_biases"] = settings.has_biases;
    context->saved_data["num_layers"] = settings.num_layers;
    context->saved_data["bidirectional"] = settings.bidirectional;
    context->saved_data["batch_first"] = settings.batch_first;
    return {outputs, h, c};
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& upstream) {
    static const auto op = operator_called<decltype(layers_backward)>("unroll::layers_backward");
    auto& told = context->saved_data;
    const auto states = static_cast<std::size_t>(told["states"].toInt());
    auto tensors = context->get_saved_variables();
    const auto memory = tensors.back();
    tensors.pop_back();
    const at::TensorList all(tensors);
    Gradients gradients;
    for (const auto& gradient : upstream) {
      gradients.push_back(gradient.defined() ? std::optional(gradient) : std::nullopt);
    }
    Tensors result(3);  // for the arguments that are no tensors
    for (auto& gradient :
         op.call(told["name"].toStringRef(), tensors[0], all.slice(1, states),
                 all.slice(1 + states), told["has_biases"].toBool(), told["num_layers"].toInt(),
                 told["bidirectional"].toBool(), told["batch_first"].toBool(), memory, gradients)) {
      result.push_back(std::move(gradient));
    }
    return result;
  }
};

bool is_traced(const Tensor& tensor) {
  return tensor.key_set().has(c10::DispatchKey::Python) ||
         tensor.key_set().has(c10::DispatchKey::Functionalize);
}

// The operator for tensors that may require a gradient.
LayerResult layers_autograd(c10::string_view name, const Tensor& input, at::TensorList hx,
                            at::TensorList params, bool has_biases, int64_t num_layers,
                            double dropout, bool train, bool bidirectional, bool batch_first) {
  const LayerSettings settings{has_biases, num_layers, dropout, train, bidirectional, batch_first};
  if (!is_traced(input)) {
    return call_layers(name, input, hx, params, settings);
  }
  if (train && dropout > 0) {
    throw Error(
        formatted("unroll::{} has no dropout where it is compiled, got {}; put a Dropout between "
                  "layers of one each",
                  name, dropout));
  }
  Tensors tensors{input};
  tensors.insert(tensors.end(), hx.begin(), hx.end());
  tensors.insert(tensors.end(), params.begin(), params.end());
  if (!wants_gradient(tensors)) {
    const at::AutoDispatchBelowADInplaceOrView below;
    return dispatch_layers(name, input, hx, params, settings);
  }
  const auto results = TracedLayers::apply(
      std::string(name), settings, static_cast<int64_t>(hx.size()), at::TensorList(tensors));
  return {results[0], results[1], results[2]};
}

// As torch.lstm.
LayerResult lstm(const Tensor& input, at::TensorList hx, at::TensorList params, bool has_biases,
                 int64_t num_layers, double dropout, bool train, bool bidirectional,
                 bool batch_first) {
  return dispatch_layers("lstm", input, hx, params,
                         {has_biases, num_layers, dropout, train, bidirectional, batch_first});
}

enum class OfH { kGru, kRnnTanh, kRnnRelu };

// As torch.gru, torch.rnn_tanh and torch.rnn_relu, whose state is h alone.
template <OfH kLayer>
std::tuple<Tensor, Tensor> layer_of_h(const Tensor& input, const Tensor& hx, at::TensorList params,
                                      bool has_biases, int64_t num_layers, double dropout,
                                      bool train, bool bidirectional, bool batch_first) {
  constexpr auto kName = kLayer == OfH::kGru       ? "gru"
                         : kLayer == OfH::kRnnTanh ? "rnn_tanh"
                                                   : "rnn_relu";
  auto [outputs, h, none] =
      dispatch_layers(kName, input, hx, params,
                      {has_biases, num_layers, dropout, train, bidirectional, batch_first});
  return {std::move(outputs), std::move(h)};
}

}  // namespace
}  // namespace unroll

TORCH_LIBRARY(unroll, library) {
  const auto schema = [](const char* begins, const char* returns) {
    return unroll::formatted(
        "{}, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool "
        "bidirectional, bool batch_first) -> {}",
        begins, returns);
  };
  const auto* two = "(Tensor, Tensor)";
  const auto* three = "(Tensor, Tensor, Tensor)";
  using unroll::layer_of_h;
  using unroll::OfH;
  library.def(schema("lstm(Tensor input, Tensor[] hx", three).c_str(), unroll::lstm);
  library.def(schema("gru(Tensor input, Tensor hx", two).c_str(), layer_of_h<OfH::kGru>);
  library.def(schema("rnn_tanh(Tensor input, Tensor hx", two).c_str(), layer_of_h<OfH::kRnnTanh>);
  library.def(schema("rnn_relu(Tensor input, Tensor hx", two).c_str(), layer_of_h<OfH::kRnnRelu>);
  library.def(schema("layers(str name, Tensor input, Tensor[] hx", three).c_str());
  library.def(
      "layers_forward(str name, Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int "
      "num_layers, bool bidirectional, bool batch_first) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "layers_backward(str name, Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int "
      "num_layers, bool bidirectional, bool batch_first, Tensor memory, Tensor?[] gradients) -> "
      "Tensor[]");
}

TORCH_LIBRARY_IMPL(unroll, CPU, library) {
  library.impl("layers", unroll::layers);
  library.impl("layers_forward", unroll::layers_forward);
  library.impl("layers_backward", unroll::layers_backward);
}
TORCH_LIBRARY_IMPL(unroll, CUDA, library) {
  library.impl("layers", unroll::layers);
  library.impl("layers_forward", unroll::layers_forward);
  library.impl("layers_backward", unroll::layers_backward);
}
TORCH_LIBRARY_IMPL(unroll, Meta, library) {
  library.impl("layers", unroll::layers_meta);
  library.impl("layers_forward", unroll::layers_forward_meta);
  library.impl("layers_backward", unroll::layers_backward_meta);
}
TORCH_LIBRARY_IMPL(unroll, Autograd, library) { library.impl("layers", unroll::layers_autograd); }

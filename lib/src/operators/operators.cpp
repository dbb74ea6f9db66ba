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
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#include <torch/nn/options/rnn.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "layers/layer_computation.h"
#include "layers/node.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensor = at::Tensor;
using Tensors = std::vector<Tensor>;
using LayerOptions = torch::nn::detail::RNNOptionsBase;
using Gradients = c10::List<std::optional<Tensor>>;

// A kind of layer: its name here, torch::nn's, and how many gates and states it has.
struct Kind {
  std::string_view name;
  LayerOptions::rnn_options_base_mode_t mode;
  int64_t gates;
  std::size_t states;
};

const Kind& kind_of(std::string_view name) {
  static const std::array<Kind, 4> kinds{{{"lstm", torch::kLSTM, 4, 2},
                                          {"gru", torch::kGRU, 3, 1},
                                          {"rnn_tanh", torch::kRNN_TANH, 1, 1},
                                          {"rnn_relu", torch::kRNN_RELU, 1, 1}}};
  const auto* found =
      std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) { return k.name == name; });
  if (found == kinds.end()) {
    throw UsageError(formatted("a layer must be lstm, gru, rnn_tanh or rnn_relu, got {}", name));
  }
  return *found;
}

// The arguments of torch.lstm and its siblings that are no tensors.
struct Settings {
  bool has_biases;
  int64_t num_layers;
  double dropout;
  bool train;
  bool bidirectional;
  bool batch_first;

  int64_t directions() const { return bidirectional ? 2 : 1; }
};

// Throws Error unless there are as many tensors as such layers have.
void check_counts(const Kind& kind, at::TensorList hx, at::TensorList params,
                  const Settings& settings) {
  const auto expected = static_cast<std::size_t>(settings.num_layers * settings.directions() *
                                                 (settings.has_biases ? 4 : 2));
  if (settings.num_layers < 1 || params.size() != expected) {
    throw Error(formatted("{} of {} layers has {} parameters (there is no proj_size), got {}",
                          kind.name, settings.num_layers, expected, params.size()));
  }
  if (hx.size() != kind.states) {
    throw Error(formatted("{} has {} states, got {}", kind.name, kind.states, hx.size()));
  }
  for (const auto& weight : {params[0], params[1]}) {
    if (weight.dim() != 2) {
      throw Error(formatted("a weight must have 2 dimensions, got {}", weight.dim()));
    }
  }
}

LayerOptions options_of(const Kind& kind, at::TensorList params, const Settings& settings) {
  return LayerOptions(kind.mode, params[0].size(1), params[1].size(1))
      .num_layers(settings.num_layers)
      .bias(settings.has_biases)
      .batch_first(settings.batch_first)
      .dropout(settings.dropout)
      .bidirectional(settings.bidirectional);
}

// The computation of the layers with these parameters. As a module's, it has memory of its own, and
// goes when they do, or rather at the next call.
LayerComputation& computation_of(const Kind& kind, at::TensorList params,
                                 const LayerOptions& options) {
  struct Kept {
    c10::weak_intrusive_ptr<c10::StorageImpl> storage;  // of the first parameter
    const void* data;
    std::string_view name;
    int64_t layers;
    bool bidirectional;
    std::unique_ptr<LayerComputation> computation;
  };
  thread_local std::list<Kept> kept;
  kept.remove_if([](const Kept& k) { return k.storage.expired(); });
  const auto* data = params[0].const_data_ptr();
  const auto found = std::find_if(kept.begin(), kept.end(), [&](const Kept& k) {
    return k.data == data && k.name == kind.name && k.layers == options.num_layers() &&
           k.bidirectional == options.bidirectional();
  });
  if (found != kept.end()) {
    return *found->computation;
  }
  kept.push_back({params[0].storage().getWeakStorageImpl(), data, kind.name, options.num_layers(),
                  options.bidirectional(), std::make_unique<LayerComputation>(Compute())});
  return *kept.back().computation;
}

using Result = std::tuple<Tensor, Tensor, Tensor>;  // outputs, h, and an LSTM's c

// By LibTorch itself, where our kernels cannot.
Result by_torch(const Kind& kind, const Tensor& input, at::TensorList hx, at::TensorList params,
                const Settings& s) {
  if (kind.states == 2) {
    return at::lstm(input, hx, params, s.has_biases, s.num_layers, s.dropout, s.train,
                    s.bidirectional, s.batch_first);
  }
  using Layer = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, at::TensorList, bool,
                                           int64_t, double, bool, bool, bool);
  Layer* layer = &at::gru;
  if (kind.name == "rnn_tanh") {
    layer = &at::rnn_tanh;
  } else if (kind.name == "rnn_relu") {
    layer = &at::rnn_relu;
  }
  auto [outputs, h] = layer(input, hx[0], params, s.has_biases, s.num_layers, s.dropout, s.train,
                            s.bidirectional, s.batch_first);
  return {std::move(outputs), std::move(h), input.new_empty({0})};
}

// The strides that layers_meta promises: time first in memory.
Tensor in_promised_order(const Tensor& outputs, const Settings& settings) {
  return settings.batch_first ? outputs.transpose(0, 1).contiguous().transpose(0, 1)
                              : outputs.contiguous();
}

Result run(const Kind& kind, const Tensor& input, at::TensorList hx, at::TensorList params,
           const Settings& settings) {
  check_counts(kind, hx, params, settings);
  const auto options = options_of(kind, params, settings);
  auto result =
      computation_of(kind, params, options).run(options, params, input, hx.vec(), settings.train);
  if (!result) {
    auto [outputs, h, c] = by_torch(kind, input, hx, params, settings);
    return {in_promised_order(outputs, settings), h.contiguous(), c.contiguous()};
  }
  auto& [outputs, state] = *result;
  return {in_promised_order(outputs, settings), state[0].contiguous(),
          state.size() > 1 ? state[1].contiguous() : input.new_empty({0})};
}

// The operator for tensors that require no gradient.
Result layers(c10::string_view name, const Tensor& input, at::TensorList hx, at::TensorList params,
              bool has_biases, int64_t num_layers, double dropout, bool train, bool bidirectional,
              bool batch_first) {
  return run(kind_of(name), input, hx, params,
             {has_biases, num_layers, dropout, train, bidirectional, batch_first});
}

// Only the shapes, for torch.compile.
Result layers_meta(c10::string_view name, const Tensor& input, at::TensorList hx,
                   at::TensorList params, bool has_biases, int64_t num_layers, double dropout,
                   bool train, bool bidirectional, bool batch_first) {
  const auto& kind = kind_of(name);
  const Settings settings{has_biases, num_layers, dropout, train, bidirectional, batch_first};
  check_counts(kind, hx, params, settings);
  if (input.dim() != 3) {
    throw Error(formatted("the input must have 3 dimensions, got {}", input.dim()));
  }
  const auto T = input.sym_size(batch_first ? 1 : 0);
  const auto B = input.sym_size(batch_first ? 0 : 1);
  auto outputs = input.new_empty_symint({T, B, params[1].sym_size(1) * settings.directions()});
  return {
      batch_first ? outputs.transpose(0, 1) : outputs,
      at::empty_like(hx[0], at::MemoryFormat::Contiguous),
      hx.size() > 1 ? at::empty_like(hx[1], at::MemoryFormat::Contiguous) : input.new_empty({0})};
}

// A forward pass with its graph, which has arguments and results of its own.
struct Recorded {
  Tensors arguments;  // the input, the states, the parameters
  Tensors results;
};

std::shared_ptr<Recorded> record(c10::string_view name, const Tensor& input, at::TensorList hx,
                                 at::TensorList params, const Settings& settings) {
  // Called below autograd, where no graph would be recorded.
  const auto keys = c10::impl::tls_local_dispatch_key_set();
  const c10::impl::ForceDispatchKeyGuard with_autograd(
      keys.included_, keys.excluded_ - c10::autograd_dispatch_keyset_with_ADInplaceOrView);
  const at::AutoGradMode with_gradients(true);
  auto recorded = std::make_shared<Recorded>();
  auto& arguments = recorded->arguments;
  arguments.push_back(input);
  arguments.insert(arguments.end(), hx.begin(), hx.end());
  arguments.insert(arguments.end(), params.begin(), params.end());
  for (auto& argument : arguments) {
    argument = argument.detach().requires_grad_();
  }
  const at::TensorList all(arguments);
  const auto [outputs, h, c] =
      run(kind_of(name), arguments[0], all.slice(1, hx.size()), all.slice(1 + hx.size()), settings);
  recorded->results = {outputs, h, c};
  return recorded;
}

// What was recorded, for the tensors that stand for it, by their address. It goes with the last of
// them.
class Memories {
 public:
  // (1), on the device of the arguments.
  Tensor keep(const std::shared_ptr<Recorded>& recorded) {
    const auto place = recorded->arguments[0].detach().new_zeros({1}, at::kLong);
    const std::lock_guard lock(mutex_);
    kept_[place.const_data_ptr()] = recorded;
    return at::from_blob(
        place.mutable_data_ptr(), {1},
        [this, place, recorded](const void* address) { forget(address); }, place.options());
  }
  // Null for the copy of such a tensor.
  std::shared_ptr<Recorded> find(const Tensor& memory) {
    const std::lock_guard lock(mutex_);
    const auto found = kept_.find(memory.const_data_ptr());
    return found == kept_.end() ? nullptr : found->second.lock();
  }

 private:
  void forget(const void* address) {
    const std::lock_guard lock(mutex_);
    kept_.erase(address);
  }

  std::mutex mutex_;
  std::map<const void*, std::weak_ptr<Recorded>> kept_;
};

Memories& memories() {
  static auto* const all = new Memories;  // the last tensors may outlive all statics
  return *all;
}

using ResultWithMemory = std::tuple<Tensor, Tensor, Tensor, Tensor>;

// `layers` for a backward pass; the last result stands for its memory.
ResultWithMemory layers_forward(c10::string_view name, const Tensor& input, at::TensorList hx,
                                at::TensorList params, bool has_biases, int64_t num_layers,
                                bool bidirectional, bool batch_first) {
  const auto recorded =
      record(name, input, hx, params,
             {has_biases, num_layers, /*dropout=*/0, /*train=*/true, bidirectional, batch_first});
  const auto& results = recorded->results;
  return {results[0].detach(), results[1].detach(), results[2].detach(), memories().keep(recorded)};
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
  auto recorded = memories().find(memory);
  if (!recorded) {
    recorded =
        record(name, input, hx, params,
               {has_biases, num_layers, /*dropout=*/0, /*train=*/true, bidirectional, batch_first});
  }
  Tensors results;
  Tensors by_results;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const std::optional<Tensor> gradient = gradients[i];
    if (gradient && recorded->results.at(i).requires_grad()) {
      results.push_back(recorded->results[i]);
      by_results.push_back(*gradient);
    }
  }
  // Kept, as two calls that are equal may have become one
  auto by_arguments =
      torch::autograd::grad(results, recorded->arguments, by_results, /*retain_graph=*/true,
                            /*create_graph=*/false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < by_arguments.size(); ++i) {
    by_arguments[i] = by_arguments[i].defined() ? by_arguments[i].contiguous()
                                                : at::zeros_like(recorded->arguments[i]);
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

Result call_layers(c10::string_view name, const Tensor& input, at::TensorList hx,
                   at::TensorList params, const Settings& s) {
  static const auto op = operator_called<decltype(layers)>("unroll::layers");
  return op.call(name, input, hx, params, s.has_biases, s.num_layers, s.dropout, s.train,
                 s.bidirectional, s.batch_first);
}

// The node of a program that is traced: both of its passes are operators.
class TracedLayers : public torch::autograd::Function<TracedLayers> {
 public:
  // tensors: the input, the states, the parameters
  static Tensors forward(torch::autograd::AutogradContext* context, const std::string& name,
                         const Settings& settings, int64_t states, at::TensorList tensors) {
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
Result layers_autograd(c10::string_view name, const Tensor& input, at::TensorList hx,
                       at::TensorList params, bool has_biases, int64_t num_layers, double dropout,
                       bool train, bool bidirectional, bool batch_first) {
  const Settings settings{has_biases, num_layers, dropout, train, bidirectional, batch_first};
  if (!is_traced(input)) {
    return run(kind_of(name), input, hx, params, settings);
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
    return call_layers(name, input, hx, params, settings);
  }
  const auto results = TracedLayers::apply(
      std::string(name), settings, static_cast<int64_t>(hx.size()), at::TensorList(tensors));
  return {results[0], results[1], results[2]};
}

// As torch.lstm.
Result lstm(const Tensor& input, at::TensorList hx, at::TensorList params, bool has_biases,
            int64_t num_layers, double dropout, bool train, bool bidirectional, bool batch_first) {
  return call_layers("lstm", input, hx, params,
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
      call_layers(kName, input, hx, params,
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

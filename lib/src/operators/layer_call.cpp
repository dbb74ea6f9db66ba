#include "operators/layer_call.h"

#include <ATen/ATen.h>
#include <torch/nn/options/rnn.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <list>
#include <memory>
#include <utility>

#include "base/formatted.h"
#include "layers/layer_computation.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensor = at::Tensor;
using LayerOptions = torch::nn::detail::RNNOptionsBase;

// A kind of layer: its name here, torch::nn's, and how many states it has.
struct Kind {
  std::string_view name;
  LayerOptions::rnn_options_base_mode_t mode;
  std::size_t states;
};

const Kind& kind_of(std::string_view name) {
  static const std::array<Kind, 4> kinds{{{"lstm", torch::kLSTM, 2},
                                          {"gru", torch::kGRU, 1},
                                          {"rnn_tanh", torch::kRNN_TANH, 1},
                                          {"rnn_relu", torch::kRNN_RELU, 1}}};
  const auto* found =
      std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) { return k.name == name; });
  if (found == kinds.end()) {
    throw UsageError(formatted("a layer must be lstm, gru, rnn_tanh or rnn_relu, got {}", name));
  }
  return *found;
}

int64_t directions(const LayerSettings& settings) { return settings.bidirectional ? 2 : 1; }

// Throws Error unless there are as many tensors as such layers have.
void check_counts(const Kind& kind, at::TensorList hx, at::TensorList params,
                  const LayerSettings& settings) {
  const auto expected = static_cast<std::size_t>(settings.num_layers * directions(settings) *
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

LayerOptions options_of(const Kind& kind, at::TensorList params, const LayerSettings& settings) {
  return LayerOptions(kind.mode, params[0].size(1), params[1].size(1))
      .num_layers(settings.num_layers)
      .bias(settings.has_biases)
      .batch_first(settings.batch_first)
      .dropout(settings.dropout)
      .bidirectional(settings.bidirectional);
}

// The computation of the layers with these parameters, as a module has its own.
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

// By LibTorch itself, where our kernels cannot.
LayerResult by_torch(const Kind& kind, const Tensor& input, at::TensorList hx,
                     at::TensorList params, const LayerSettings& s) {
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

// Time first in memory.
Tensor in_promised_order(const Tensor& outputs, const LayerSettings& settings) {
  return settings.batch_first ? outputs.transpose(0, 1).contiguous().transpose(0, 1)
                              : outputs.contiguous();
}

}  // namespace

LayerResult call_layers(std::string_view name, const Tensor& input, at::TensorList hx,
                        at::TensorList params, const LayerSettings& settings) {
  const auto& kind = kind_of(name);
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

LayerResult empty_result(std::string_view name, const Tensor& input, at::TensorList hx,
                         at::TensorList params, const LayerSettings& settings) {
  check_counts(kind_of(name), hx, params, settings);
  if (input.dim() != 3) {
    throw Error(formatted("the input must have 3 dimensions, got {}", input.dim()));
  }
  const bool batch_first = settings.batch_first;
  const auto T = input.sym_size(batch_first ? 1 : 0);
  const auto B = input.sym_size(batch_first ? 0 : 1);
  auto outputs = input.new_empty_symint({T, B, params[1].sym_size(1) * directions(settings)});
  return {
      batch_first ? outputs.transpose(0, 1) : outputs,
      at::empty_like(hx[0], at::MemoryFormat::Contiguous),
      hx.size() > 1 ? at::empty_like(hx[1], at::MemoryFormat::Contiguous) : input.new_empty({0})};
}

}  // namespace unroll

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <tuple>

namespace unroll {

/// The arguments of torch.lstm and its siblings that are no tensors.
struct LayerSettings {
  bool has_biases;
  int64_t num_layers;
  double dropout;
  bool train;
  bool bidirectional;
  bool batch_first;
};

/// The outputs, h, and an LSTM's c, which is empty of other layers.
using LayerResult = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

/// What torch.NAME computes, for lstm, gru, rnn_tanh and rnn_relu: by our kernels, as their
/// autograd node, or where they cannot by LibTorch. Time is first in the outputs' memory.
///
/// hx: the states, each (layers x directions,B,H); params in torch::nn's order. Layers with the
/// same parameters share their memory, for one thread at a time; it goes when the parameters do, at
/// the thread's next call. Throws UsageError for another name, Error for tensors that do not fit.
LayerResult call_layers(std::string_view name, const at::Tensor& input, at::TensorList hx,
                        at::TensorList params, const LayerSettings& settings);

/// Tensors of the same shapes and strides, uninitialised; the sizes may be symbols.
LayerResult empty_result(std::string_view name, const at::Tensor& input, at::TensorList hx,
                         at::TensorList params, const LayerSettings& settings);

}  // namespace unroll

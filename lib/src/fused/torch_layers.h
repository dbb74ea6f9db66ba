#pragma once

#include <torch/types.h>

#include <utility>

#include "layers/layout.h"
#include "unroll/compute.h"

namespace unroll {

/// Logits (T*B, V) and the state after the last step, by the layers behind torch::nn::RNN, GRU and
/// LSTM, which are cuDNN's on a CUDA device. Weights of either kind of model are brought into their
/// layout by LibTorch's operations, so that gradients find their way back; a scratch model's second
/// biases are zeros that are no weights.
///
/// X (B,T) int64; state as the model has it; dropout between the layers. In bf16 the layers'
/// weights, inputs and states are rounded to bf16; the output layer, the state that is returned and
/// all gradients by weights are float32. Throws Error for a shape that does not fit. The cell must
/// have torch::nn's form.
std::pair<torch::Tensor, State> run_by_torch_layers(const Layout& layout, at::TensorList weights,
                                                    const torch::Tensor& X, const State& state,
                                                    double dropout, Precision precision);

}  // namespace unroll

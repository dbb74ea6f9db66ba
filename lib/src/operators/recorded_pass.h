#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string_view>
#include <vector>

#include "operators/layer_call.h"

namespace unroll {

/// A forward pass with its graph, which has arguments and results of its own.
struct RecordedPass {
  std::vector<at::Tensor> arguments;  ///< the input, the states, the parameters
  std::vector<at::Tensor> results;    ///< as call_layers gives them
};

/// Calls the layers for a backward pass, also below autograd. Throws as call_layers does.
std::shared_ptr<RecordedPass> record_pass(std::string_view name, const at::Tensor& input,
                                          at::TensorList hx, at::TensorList params,
                                          const LayerSettings& settings);

/// A tensor (1) on the device of the arguments that stands for the pass, which lives as long as it.
at::Tensor tensor_of(const std::shared_ptr<RecordedPass>& pass);

/// The pass that such a tensor stands for; null for the copy of one.
std::shared_ptr<RecordedPass> pass_of(const at::Tensor& tensor);

}  // namespace unroll

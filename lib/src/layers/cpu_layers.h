#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <utility>

#include "kernels/cpu/layer_stack.h"
#include "layers/layout.h"
#include "layers/pool.h"
#include "unroll/compute.h"
#include "unroll/tensors.h"

namespace unroll {

/// Where a layer's memory is taken from, and goes back to.
using LayerStacks = Pool<cpu::LayerStack>;

/// The last layer's states h (T,B,H) and all layers' after the last step, by the CPU's kernels,
/// forward and back, as one autograd node.
///
/// `weights`: those of all layers; x (T,B,inputs); state as check_states wants it; all float32 on
/// the CPU. Dropout between the layers, drawn from `generator` or LibTorch's default. `stacks` are
/// of the layout's shape. Throws Error for a shape that does not fit.
std::pair<torch::Tensor, State> run_layers_on_cpu(
    const Layout& layout, at::TensorList weights, const torch::Tensor& x, const State& state,
    const std::shared_ptr<LayerStacks>& stacks, double dropout = 0,
    const std::optional<at::Generator>& generator = std::nullopt);

/// How many bf16 stand for a value in the CPU kernels' products; 0: float32.
int bf16_parts(Precision precision);

}  // namespace unroll

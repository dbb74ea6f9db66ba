#pragma once

#include <ATen/core/ATen_fwd.h>
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/cell_table.h"
#include "kernels/cpu/language_model.h"
#include "unroll/compute.h"

namespace unroll {

/// How the weights of recurrent layers, in their order, make up the cells that the kernels know. A
/// language model has those of its output layer after them.
struct Layout {
  CellKind cell;
  bool concise;  ///< torch::nn's layout, else the scratch models'
  int64_t layers;

  bool operator==(const Layout&) const = default;
};

/// Of a scratch or concise model. Throws UsageError for the mlp cell.
Layout layout_of(const ModelConfig& config);

/// How many weights all the layers have, how many such a language model, and how many state
/// tensors.
std::size_t layer_weight_count(const Layout& layout);
std::size_t weight_count(const Layout& layout);
std::size_t state_count(const Layout& layout);

/// Throws Error unless there are as many weights as such a language model has.
void check_weight_count(const Layout& layout, std::size_t count);

/// Whether weight i is a W_x that tokens are looked up in.
bool has_row_of_each_token(const Layout& layout, std::size_t i);

/// Hidden units, and inputs of the first layer, of layers with these weights. Throws Error for one
/// that is no matrix.
int64_t hidden_of(const Layout& layout, at::TensorList weights);
int64_t inputs_of(const Layout& layout, at::TensorList weights);

/// Throws Error unless these are the states for B sequences of layers of H units, as the weights
/// are.
void check_states(const Layout& layout, const State& states, int64_t B, int64_t H,
                  const torch::Tensor& weight);

/// A gate's weights, as views of the model's; a second bias, which is added to the first, only in
/// torch::nn's layout.
struct GateTensors {
  torch::Tensor W_x;  ///< (inputs,H)
  torch::Tensor W_h;  ///< (H,H)
  torch::Tensor b;    ///< (H)
  torch::Tensor b_again;
};

/// A layer's, in the kernels' order of gates.
struct LayerTensors {
  std::vector<GateTensors> gates;
  torch::Tensor b_hh;  ///< (H): GRU with the reset after the product; else undefined
};

/// The weights of layer l, out of all layers' or a model's, where layer L is the output layer.
at::TensorList weights_of_layer(const Layout& layout, at::TensorList weights, int64_t l);

/// A layer of H units by its own weights. Throws Error for a shape that does not fit.
LayerTensors layer_tensors(const Layout& layout, at::TensorList own, int64_t H);

/// The kernels' view of all layers' weights, or of a language model's, float32 on the CPU, or of
/// tensors shaped like them, which must outlive it. Throws Error for a shape that does not fit.
std::vector<cpu::LayerParameters> layer_parameters_of(const Layout& layout, at::TensorList tensors);
cpu::ModelParameters parameters_of(const Layout& layout, at::TensorList tensors);

}  // namespace unroll

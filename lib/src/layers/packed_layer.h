#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "cuda_part/cuda_kernels.h"
#include "layers/layout.h"
#include "layers/matrix_copies.h"

namespace unroll {

/// A layer's weights as a device's kernels read them. G gates stand side by side, in the kernels'
/// order.
struct PackedLayer {
  torch::Tensor W_x;    ///< (inputs, GH); for tokens with the biases added to each row
  torch::Tensor b;      ///< (GH), all biases outside the reset gate; undefined for tokens
  torch::Tensor W_h;    ///< (H, GH)
  torch::Tensor W_h_t;  ///< (GH, H), its transpose; undefined where none is wanted
  torch::Tensor b_hh;   ///< (H): GRU with the reset after the product; else undefined
};

/// What of a layer's input and of what follows is wanted.
struct PackedFor {
  bool tokens = false;    ///< the inputs are tokens
  bool backward = false;  ///< there is a way back
};

/// Such weights of a layer of H units, out of its own, by `copies` when these are run. Throws Error
/// for a shape that does not fit.
PackedLayer pack_layer(const Layout& layout, at::TensorList own, int64_t H, PackedFor wanted,
                       MatrixCopies& copies);

/// The gradients of a layer's weights as products give them, gates side by side. Where a weight is
/// such a matrix as it is, they are in its gradient's place.
class PackedGradients {
 public:
  /// Of a layer of H units with weights like these.
  PackedGradients(const Layout& layout, const std::vector<torch::Tensor>& own, int64_t H);

  /// Brings them to the weights' own, which it returns in their order.
  std::vector<torch::Tensor> take(const CudaKernels& kernels);

  torch::Tensor W_x;   ///< (inputs, GH)
  torch::Tensor W_h;   ///< (H, GH)
  torch::Tensor b;     ///< (GH)
  torch::Tensor b_hh;  ///< (H): GRU with the reset after the product; else undefined

 private:
  std::vector<torch::Tensor> gradients_;
  LayerTensors layer_;
  int64_t H_;
};

}  // namespace unroll

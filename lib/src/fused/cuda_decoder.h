#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cuda_part/cuda_kernels.h"
#include "layers/layout.h"
#include "layers/packed_layer.h"
#include "models/forward_decoder.h"

namespace unroll {

/// Many steps in one kernel of a device, where that has one for the model: see can_decode. A single
/// step is the model's own forward pass.
class CudaDecoder : public ForwardDecoder {
 public:
  /// The kernels must outlive it.
  CudaDecoder(const CudaKernels& kernels, const Layout& layout, SequenceModel& model,
              int64_t batch_size);

  int64_t steps_at_once() const override;
  std::vector<int64_t> most_likely(std::span<const int64_t> fed,
                                   std::optional<int64_t> never) override;

 private:
  const CudaKernels& kernels_;
  Workspace workspace_;
  CellKind cell_;
  int64_t batch_size_;
  int64_t hidden_;
  int64_t vocab_size_;
  PackedLayer layer_;             // its W_x: each token's share in the gates
  torch::Tensor output_weights_;  // (H, V)
  torch::Tensor output_bias_;
};

/// Whether the kernels can continue `batch_size` sequences by a model with these weights, float32
/// on their device.
bool can_decode(const CudaKernels& kernels, const Layout& layout, at::TensorList weights,
                int64_t batch_size);

}  // namespace unroll

#pragma once

#include <cstdint>

#include "kernels/cell_table.h"
#include "unroll/compute.h"

namespace unroll {

/// Whether there is cuDNN, and it can compute such a model's layers so.
bool has_cudnn(const ModelConfig& config, const Compute& compute);

/// Whether LibTorch's cuDNN has recurrent layers in bf16.
bool cudnn_has_bf16();

/// Whether our kernels were measured to compute training steps of such a layer in float32 faster
/// than cuDNN, on a GPU of compute capability 9.0 (docs/gpu.md).
bool kernels_are_faster(CellKind cell, int64_t batch_size, int64_t hidden);

/// Whether cuDNN is faster, as the same figures let one estimate for every shape.
bool cudnn_is_faster(CellKind cell, int64_t batch_size, int64_t hidden);

}  // namespace unroll

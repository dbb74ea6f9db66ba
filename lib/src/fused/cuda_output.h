#pragma once

#include <torch/types.h>

#include <memory>

#include "cuda_part/cuda_kernels.h"

namespace unroll {

/// Whether a kernel computes the output layer and its loss: of a small vocabulary, and where its
/// weights find room in each multiprocessor.
bool has_output_kernel(const CudaKernels& kernels, int64_t hidden, int64_t vocab_size,
                       torch::Device device);

/// The mean cross-entropy of the logits h W_hq + b_q against labels, by that kernel, and with it
/// all that the way back needs. h (R,H); W_hq (H,V), of any strides; b_q (V); labels (R) int64, of
/// which those of -100 are left out. The graph can be differentiated once.
torch::Tensor loss_on_cuda(
    const CudaKernels& kernels, const torch::Tensor& h, const torch::Tensor& W_hq,
    const torch::Tensor& b_q, const torch::Tensor& labels,
    const std::shared_ptr<Workspace>& workspace = std::make_shared<Workspace>());

}  // namespace unroll

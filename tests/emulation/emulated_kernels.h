#pragma once

#include "cuda_part/cuda_kernels.h"
#include "kernels/cuda/plan.h"

namespace unroll {

/// Small GPUs with and without clusters, on which a small batch gives a group several tiles.
constexpr cuda::GpuLimits kWithClusters{
    .multiprocessors = 6, .shared_bytes = 227 * 1024, .has_kernels = true, .has_clusters = true};
constexpr cuda::GpuLimits kWithoutClusters{
    .multiprocessors = 6, .shared_bytes = 227 * 1024, .has_kernels = true, .has_clusters = false};

/// Runs the CUDA kernels on tensors of the CPU (simt_on_cpu.h), with the plans of such a GPU.
class EmulatedKernels : public CudaKernels {
 public:
  explicit EmulatedKernels(const cuda::GpuLimits& limits) : limits_(limits) {}

  bool serve(CellKind cell, cuda::Operands operands, int64_t batch_size, int64_t hidden,
             torch::Device device) const override;
  bool can_generate(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                    torch::Device device) const override;
  void run(CellKind cell, cuda::Operands operands, const cuda::ForwardArguments& arguments,
           torch::Device device) const override;
  void run(CellKind cell, cuda::Operands operands, const cuda::BackwardArguments& arguments,
           torch::Device device) const override;
  void run(CellKind cell, const cuda::GenerateArguments& arguments,
           torch::Device device) const override;

 private:
  cuda::GpuLimits limits_;
};

}  // namespace unroll

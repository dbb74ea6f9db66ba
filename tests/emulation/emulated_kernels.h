#pragma once

#include "cuda_part/cuda_kernels.h"
#include "kernels/cuda/plan.h"

namespace unroll {

/// Small GPUs with and without clusters, on which a group has several tiles soon.
constexpr cuda::DeviceLimits kWithClusters{
    .multiprocessors = 6, .shared_bytes = 227 * 1024, .has_kernels = true, .has_clusters = true};
constexpr cuda::DeviceLimits kWithoutClusters{
    .multiprocessors = 6, .shared_bytes = 227 * 1024, .has_kernels = true, .has_clusters = false};

/// The CUDA kernels on tensors of the CPU, by simt_on_cpu, as on a GPU of these limits.
class EmulatedKernels : public CudaKernels {
 public:
  explicit EmulatedKernels(const cuda::DeviceLimits& limits) : limits_(limits) {}

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
  cuda::DeviceLimits limits_;
};

}  // namespace unroll

#pragma once

#include <functional>
#include <memory>

#include "cuda_part/cuda_driver.h"
#include "cuda_part/cuda_kernels.h"

namespace unroll {

/// A small GPU, on which a small batch gives a group several tiles.
cuda::GpuLimits small_gpu(int multiprocessors, bool has_clusters);

/// Runs the CUDA kernels on tensors of the CPU (simt_on_cpu.h), as if on such a GPU. What it loads
/// is a kernel by its name in C++, without code.
class EmulatedDriver : public CudaDriver {
 public:
  explicit EmulatedDriver(const cuda::GpuLimits& limits) : limits_(limits) {}

  cuda::GpuLimits limits(torch::Device device) const override;
  LoadedKernel load(const CompiledKernel& kernel, torch::Device device) const override;
  int most_clusters(LoadedKernel kernel, const KernelLaunch& launch,
                    torch::Device device) const override;
  void launch(LoadedKernel kernel, const KernelLaunch& launch,
              std::span<const void* const> parameters, torch::Device device) const override;
  void* stream(torch::Device /*device*/) const override { return nullptr; }
  std::function<bool()> mark(torch::Device /*device*/) const override {
    return [] { return true; };
  }
  std::unique_ptr<SideStream> make_side_stream(torch::Device device) const override;

 private:
  cuda::GpuLimits limits_;
};

/// The kernels of an emulated GPU.
class EmulatedKernels : public CudaKernels {
 public:
  explicit EmulatedKernels(const cuda::GpuLimits& limits);
  explicit EmulatedKernels(bool has_clusters, int multiprocessors = 6)
      : EmulatedKernels(small_gpu(multiprocessors, has_clusters)) {}

 private:
  explicit EmulatedKernels(std::unique_ptr<EmulatedDriver> driver);

  std::unique_ptr<EmulatedDriver> driver_;
};

}  // namespace unroll

#pragma once

#include "cuda_part/cuda_driver.h"

namespace unroll::cuda {

/// NVIDIA's driver, on LibTorch's devices and streams. It is loaded already where this is.
class NvidiaDriver : public CudaDriver {
 public:
  GpuLimits limits(torch::Device device) const override;
  LoadedKernel load(const CompiledKernel& kernel, torch::Device device) const override;
  int most_clusters(LoadedKernel kernel, const KernelLaunch& launch,
                    torch::Device device) const override;
  void launch(LoadedKernel kernel, const KernelLaunch& launch,
              std::span<const void* const> parameters, torch::Device device) const override;
  void* stream(torch::Device device) const override;
  std::function<bool()> mark(torch::Device device) const override;
  std::unique_ptr<SideStream> make_side_stream(torch::Device device) const override;
};

}  // namespace unroll::cuda

#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <span>

#include "cuda_part/compiled_kernel.h"
#include "cuda_part/side_stream.h"
#include "kernels/cuda/plan.h"
#include "unroll/error.h"  // what its functions throw

namespace unroll {

/// A kernel in a device's memory, for as long as the program runs.
using LoadedKernel = const void*;

/// How a kernel is started.
struct KernelLaunch {
  int blocks = 1;
  int cluster = 0;        ///< blocks of a cluster, 0 without clusters
  bool together = false;  ///< all blocks run at once, so that they may wait for each other
  int shared_bytes = 0;   ///< of a block
};

/// What the driver of CUDA devices does with kernels. Functions throw Error with its words.
class CudaDriver {
 public:
  virtual ~CudaDriver() = default;

  /// A device's limits, but for how many clusters run at once.
  virtual cuda::GpuLimits limits(torch::Device device) const = 0;

  /// Loads a kernel, which may then have all the shared memory that the limits allow.
  virtual LoadedKernel load(const CompiledKernel& kernel, torch::Device device) const = 0;

  /// How many clusters of such a launch run at once.
  virtual int most_clusters(LoadedKernel kernel, const KernelLaunch& launch,
                            torch::Device device) const = 0;

  /// Puts a kernel on LibTorch's current stream of the device. `parameters` point to its
  /// parameters, as its C++ declares them.
  virtual void launch(LoadedKernel kernel, const KernelLaunch& launch,
                      std::span<const void* const> parameters, torch::Device device) const = 0;

  /// LibTorch's current stream of the device, as CUDA's runtime calls it.
  virtual void* stream(torch::Device device) const = 0;

  /// What says from now on whether that stream has done what it was given until now.
  virtual std::function<bool()> mark(torch::Device device) const = 0;

  virtual std::unique_ptr<SideStream> make_side_stream(torch::Device device) const = 0;
};

}  // namespace unroll

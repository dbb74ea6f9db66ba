#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "kernels/cuda/plan.h"
#include "kernels/cuda/shapes.h"

namespace unroll::cuda {

/// Launches a kernel with a plan's sizes, in clusters of `cluster` blocks. 0 means no clusters: all
/// blocks of the grid then run at the same time.
template <typename... Parameters>
cudaError_t launch_kernel(void (*kernel)(Parameters...), const Plan& plan, int cluster,
                          cudaStream_t stream,
                          const std::type_identity_t<Parameters>&... arguments) {
  // The GPU's limit, not this launch's size: a captured graph may launch the same kernel with more.
  if (const auto error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              plan.shared_limit);
      error != cudaSuccess) {
    return error;
  }
  cudaLaunchAttribute attribute{};
  if (cluster > 0) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(cluster);
    attribute.val.clusterDim.y = 1;
    attribute.val.clusterDim.z = 1;
  } else {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(plan.blocks * plan.groups));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<size_t>(plan.shared_bytes);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// For the two kinds of plan. Cluster kernels exist only for compute capability 9.0 and later.
template <typename Arguments>
cudaError_t launch_in_clusters(const Plan& plan, CellKind cell, const Arguments& arguments,
                               cudaStream_t stream);
template <typename Arguments>
cudaError_t launch_in_grid(const Plan& plan, CellKind cell, const Arguments& arguments,
                           cudaStream_t stream);

}  // namespace unroll::cuda

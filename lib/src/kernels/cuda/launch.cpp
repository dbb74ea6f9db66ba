#include "kernels/cuda/launch.h"

#include "kernels/cuda/launch_kernel.h"

namespace unroll::cuda {

cudaError_t read_limits(int device, GpuLimits& limits) {
  const auto read = [&](cudaDeviceAttr attribute, int& value) {
    return cudaDeviceGetAttribute(&value, attribute, device);
  };
  int major = 0;
  for (const auto error : {read(cudaDevAttrMultiProcessorCount, limits.multiprocessors),
                           read(cudaDevAttrMaxSharedMemoryPerBlockOptin, limits.shared_bytes),
                           read(cudaDevAttrComputeCapabilityMajor, major)}) {
    if (error != cudaSuccess) {
      return error;
    }
  }
  limits.has_kernels = major >= 8;
  limits.has_clusters = major >= 9;
  return cudaSuccess;
}

template <typename Arguments>
cudaError_t launch(const Plan& plan, CellKind cell, const Arguments& arguments,
                   cudaStream_t stream) {
  return plan.in_clusters ? launch_in_clusters(plan, cell, arguments, stream)
                          : launch_in_grid(plan, cell, arguments, stream);
}

template cudaError_t launch(const Plan&, CellKind, const ForwardArguments&, cudaStream_t);
template cudaError_t launch(const Plan&, CellKind, const BackwardArguments&, cudaStream_t);
template cudaError_t launch(const Plan&, CellKind, const GenerateArguments&, cudaStream_t);

}  // namespace unroll::cuda

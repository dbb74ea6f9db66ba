#include "kernels/cuda/launch.h"

#include "kernels/cuda/launch_kernel.h"

namespace unroll::cuda {

cudaError_t read_limits(int device, DeviceLimits& limits) {
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

cudaError_t launch(const Plan& plan, CellKind cell, const ForwardArguments& arguments,
                   cudaStream_t stream) {
  return plan.in_clusters ? launch_in_clusters(plan, cell, arguments, stream)
                          : launch_in_grid(plan, cell, arguments, stream);
}

cudaError_t launch(const Plan& plan, CellKind cell, const BackwardArguments& arguments,
                   cudaStream_t stream) {
  return plan.in_clusters ? launch_in_clusters(plan, cell, arguments, stream)
                          : launch_in_grid(plan, cell, arguments, stream);
}

cudaError_t launch(const Plan& plan, CellKind cell, const GenerateArguments& arguments,
                   cudaStream_t stream) {
  return plan.in_clusters ? launch_in_clusters(plan, cell, arguments, stream)
                          : launch_in_grid(plan, cell, arguments, stream);
}

}  // namespace unroll::cuda

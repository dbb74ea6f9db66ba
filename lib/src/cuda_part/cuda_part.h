#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "cuda_part/cuda_driver.h"
#include "cuda_part/cuda_graph.h"
#include "cuda_part/cuda_kernels.h"

namespace unroll {

/// Bytes of a device's memory.
struct CudaMemory {
  int64_t now = 0;
  int64_t peak = 0;
};

/// What needs CUDA itself: libunroll_cuda.so, which is built where CUDA's headers are and loaded
/// where a GPU is. The library is linked against none of it.
class CudaPart {
 public:
  virtual ~CudaPart() = default;

  /// A CUDA graph on a CUDA device.
  virtual std::unique_ptr<CudaGraph> make_graph(torch::Device device) const = 0;

  /// That of every CUDA device.
  virtual const CudaDriver& driver() const = 0;

  /// What LibTorch's tensors take on the device.
  virtual CudaMemory memory(torch::Device device) const = 0;
  /// Lets the peak begin anew.
  virtual void forget_peak_memory(torch::Device device) const = 0;
};

/// The part and the kernels that it runs, or why there are none.
struct LoadedCudaPart {
  const CudaPart* part = nullptr;
  std::unique_ptr<CudaKernels> kernels = {};
  std::string problem = {};
};

/// Loads the part at the first call.
const LoadedCudaPart& cuda_part();

/// What the shared object exports, under the names below: which build of the library and LibTorch
/// it belongs to, and the part.
using CudaPartBuild = const char* (*)();
using GetCudaPart = const CudaPart* (*)();
inline constexpr const char* kCudaPartBuild = "unroll_cuda_build";
inline constexpr const char* kGetCudaPart = "unroll_cuda_part";

}  // namespace unroll

// What libunroll_cuda.so exports.
#include <c10/cuda/CUDACachingAllocator.h>
#include <torch/version.h>

#include <cstddef>

#include "cuda_part/captured_graph.h"
#include "cuda_part/cuda_part.h"
#include "cuda_part/nvidia_driver.h"

namespace unroll::cuda {
namespace {

class Part : public CudaPart {
 public:
  std::unique_ptr<CudaGraph> make_graph(torch::Device device) const override {
    return std::make_unique<CapturedGraph>(device.index());
  }

  const CudaDriver& driver() const override { return driver_; }

  CudaMemory memory(torch::Device device) const override {
    using c10::CachingAllocator::StatType;
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
    const auto& bytes = stats.allocated_bytes.at(static_cast<std::size_t>(StatType::AGGREGATE));
    return {.now = bytes.current, .peak = bytes.peak};
  }

  void forget_peak_memory(torch::Device device) const override {
    c10::cuda::CUDACachingAllocator::resetPeakStats(device.index());
  }

 private:
  NvidiaDriver driver_;
};

}  // namespace
}  // namespace unroll::cuda

extern "C" {

__attribute__((visibility("default"))) const char* unroll_cuda_build() {
  return UNROLL_BUILD " " TORCH_VERSION;
}

__attribute__((visibility("default"))) const unroll::CudaPart* unroll_cuda_part() {
  static const unroll::cuda::Part part;
  return &part;
}
}

#include "cuda_part/streams.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

#include <exception>

namespace unroll::cuda {
namespace {

// An event of the current device. LibTorch's own wants headers of more packages.
class Event {
 public:
  Event() { C10_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

void order(const c10::cuda::CUDAStream& earlier, const c10::cuda::CUDAStream& later) {
  const c10::cuda::CUDAGuard guard(earlier.device_index());
  const Event event;
  C10_CUDA_CHECK(cudaEventRecord(event.get(), earlier));
  C10_CUDA_CHECK(cudaStreamWaitEvent(later, event.get(), 0));
}

// Captured steps are on streams of the other priority, so that none of them is this one.
NvidiaSideStream::NvidiaSideStream(c10::DeviceIndex device)
    : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device)) {}

void NvidiaSideStream::run(const std::function<void()>& aside, const std::function<void()>& here) {
  const auto current = c10::cuda::getCurrentCUDAStream(stream_.device_index());
  order(current, stream_);
  try {
    {
      const c10::cuda::CUDAStreamGuard guard(stream_);
      aside();
    }
    here();
  } catch (const std::exception&) {
    // What was begun aside works in memory that others get now.
    try {
      order(stream_, current);
    } catch (const std::exception&) {
      // the first error is the one reported
    }
    throw;
  }
  order(stream_, current);
}

}  // namespace unroll::cuda

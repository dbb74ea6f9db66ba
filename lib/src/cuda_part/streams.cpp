#include "cuda_part/streams.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

#include <exception>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace unroll::cuda {
namespace {

// Streams that were somebody's own and may be again. They are never destroyed: LibTorch remembers
// memory by its stream.
class FreeStreams {
 public:
  cudaStream_t take(c10::DeviceIndex device, OwnStream::Priority priority) {
    const std::lock_guard lock(mutex_);
    auto& free = free_[{device, priority}];
    if (!free.empty()) {
      const auto stream = free.back();
      free.pop_back();
      return stream;
    }
    const c10::cuda::CUDAGuard guard(device);
    int least = 0;
    int greatest = 0;
    C10_CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    cudaStream_t created = nullptr;
    C10_CUDA_CHECK(
        cudaStreamCreateWithPriority(&created, cudaStreamNonBlocking,
                                     priority == OwnStream::Priority::kHigh ? greatest : least));
    return created;
  }

  void give_back(const c10::cuda::CUDAStream& stream, OwnStream::Priority priority) {
    const std::lock_guard lock(mutex_);
    free_[{stream.device_index(), priority}].push_back(stream.stream());
  }

  static FreeStreams& all() {
    static auto* const streams = new FreeStreams();  // some are given back while the program ends
    return *streams;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<c10::DeviceIndex, OwnStream::Priority>, std::vector<cudaStream_t>> free_;
};

// Lets `later` go on once what `earlier` has been given so far is done. LibTorch's own events want
// headers of more packages.
cudaError_t order(const c10::cuda::CUDAStream& earlier, const c10::cuda::CUDAStream& later) {
  const c10::cuda::CUDAGuard guard(earlier.device_index());
  cudaEvent_t event = nullptr;
  auto error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  if (error != cudaSuccess) {
    return error;
  }
  error = cudaEventRecord(event, earlier);
  if (error == cudaSuccess) {
    error = cudaStreamWaitEvent(later, event, 0);
  }
  static_cast<void>(cudaEventDestroy(event));  // once it has come
  return error;
}

}  // namespace

OwnStream::OwnStream(c10::DeviceIndex device, Priority priority)
    : priority_(priority),
      stream_(c10::cuda::getStreamFromExternal(FreeStreams::all().take(device, priority), device)) {
}

OwnStream::~OwnStream() { FreeStreams::all().give_back(stream_, priority_); }

Fork::Fork(const c10::cuda::CUDAStream& aside)
    : current_(c10::cuda::getCurrentCUDAStream(aside.device_index())), aside_(aside) {
  C10_CUDA_CHECK(order(current_, aside_));
}

Fork::~Fork() {
  if (is_joined_) {
    return;
  }
  try {
    C10_CUDA_CHECK(order(aside_, current_));
  } catch (const std::exception&) {
    static_cast<void>(cudaGetLastError());  // the error that is on its way is the one reported
  }
}

void Fork::join() {
  is_joined_ = true;
  C10_CUDA_CHECK(order(aside_, current_));
}

NvidiaSideStream::NvidiaSideStream(c10::DeviceIndex device)
    : stream_(device, OwnStream::Priority::kHigh) {}

void NvidiaSideStream::run(const std::function<void()>& aside, const std::function<void()>& here) {
  Fork fork(stream_.get());
  {
    const c10::cuda::CUDAStreamGuard guard(stream_.get());
    aside();
  }
  here();
  fork.join();
}

}  // namespace unroll::cuda

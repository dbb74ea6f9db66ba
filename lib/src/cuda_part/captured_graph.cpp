#include "cuda_part/captured_graph.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#include <torch/version.h>

#include <exception>

#include "base/formatted.h"
#include "base/message_of.h"
#include "unroll/error.h"

namespace unroll::cuda {
namespace {

// Ends a capture that something went wrong in. A stream that is left capturing would refuse all
// further work, and the runtime keeps its last error.
void abandon(at::cuda::CUDAGraph& graph, c10::MempoolId_t pool, c10::DeviceIndex device) noexcept {
  const auto attempt = [](const auto& work) {
    try {
      work();
    } catch (const std::exception&) {
      // the first error is the one reported
    }
    static_cast<void>(cudaGetLastError());
  };
  attempt([&] { graph.capture_end(); });
#if TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 15
  // There a capture_end() that throws leaves the allocator and the generator as if it still went
  // on; an empty capture that ends well puts the generator right.
  attempt([&] { c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool); });
  attempt([] {
    at::cuda::CUDAGraph empty;
    empty.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    empty.capture_end();
  });
#else
  static_cast<void>(pool);
  static_cast<void>(device);
#endif
}

}  // namespace

CapturedGraph::CapturedGraph(c10::DeviceIndex device) : stream_(device) {}

void CapturedGraph::warm_up(const std::function<void()>& work) {
  Fork fork(stream_.get());
  {
    const c10::cuda::CUDAStreamGuard guard(stream_.get());
    work();
  }
  fork.join();
}

void CapturedGraph::capture(const std::function<void()>& work) {
  graph_ = std::make_unique<at::cuda::CUDAGraph>();
  const c10::cuda::CUDAStreamGuard guard(stream_.get());
  try {
    stream_.get().synchronize();  // the memory of the warm-ups is free
    const auto pool = at::cuda::graph_pool_handle();
    try {
      graph_->capture_begin(pool, cudaStreamCaptureModeThreadLocal);
      work();
    } catch (const std::exception&) {
      abandon(*graph_, pool, stream_.get().device_index());
      throw;
    }
    graph_->capture_end();
  } catch (const std::exception& error) {
    graph_.reset();
    throw Error(formatted("a step cannot be captured in a CUDA graph: {}", message_of(error)));
  }
}

void CapturedGraph::replay() {
  const c10::cuda::CUDAGuard guard(stream_.get().device_index());
  graph_->replay();
}

}  // namespace unroll::cuda

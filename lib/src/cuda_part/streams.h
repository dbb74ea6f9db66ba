#pragma once

#include <c10/cuda/CUDAStream.h>

#include <functional>

#include "cuda_part/side_stream.h"

namespace unroll::cuda {

/// Lets `later` go on once what `earlier` has been given so far is done.
void order(const c10::cuda::CUDAStream& earlier, const c10::cuda::CUDAStream& later);

/// One of LibTorch's streams.
class NvidiaSideStream : public SideStream {
 public:
  explicit NvidiaSideStream(c10::DeviceIndex device);

  void run(const std::function<void()>& aside, const std::function<void()>& here) override;

 private:
  c10::cuda::CUDAStream stream_;
};

}  // namespace unroll::cuda

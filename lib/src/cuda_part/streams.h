#pragma once

#include <c10/cuda/CUDAStream.h>

#include <functional>

#include "cuda_part/side_stream.h"

namespace unroll::cuda {

/// A stream that nobody else has while this lives: what others did on a stream that is being
/// captured would be captured too. LibTorch's own pool hands out the same 32 in turns.
class OwnStream {
 public:
  enum class Priority { kNormal, kHigh };

  explicit OwnStream(c10::DeviceIndex device, Priority priority = Priority::kNormal);
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  const c10::cuda::CUDAStream& get() const { return stream_; }

 private:
  Priority priority_;
  c10::cuda::CUDAStream stream_;
};

/// A stream that goes on from where the current one is. Later work on the current stream waits for
/// it: after join(), or where an exception leaves the scope, as memory that it uses is given back.
class Fork {
 public:
  explicit Fork(const c10::cuda::CUDAStream& aside);
  ~Fork();
  Fork(const Fork&) = delete;
  Fork& operator=(const Fork&) = delete;

  void join();

 private:
  c10::cuda::CUDAStream current_;
  c10::cuda::CUDAStream aside_;
  bool is_joined_ = false;
};

/// Its work comes before that of the current stream, where there is room for one alone.
class NvidiaSideStream : public SideStream {
 public:
  explicit NvidiaSideStream(c10::DeviceIndex device);

  void run(const std::function<void()>& aside, const std::function<void()>& here) override;

 private:
  OwnStream stream_;
};

}  // namespace unroll::cuda

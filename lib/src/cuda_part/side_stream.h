#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>

namespace unroll {

/// A second stream of a device, for one caller: while work on it is being captured, nobody else's
/// may come onto it.
class SideStream {
 public:
  virtual ~SideStream() = default;

  /// Calls `aside`, whose work goes onto this stream, then `here`, whose work goes onto LibTorch's
  /// current one as all else does. The device may do both at once; what follows waits for both.
  /// Neither reads or writes what the other writes, and their tensors outlive the call.
  virtual void run(const std::function<void()>& aside, const std::function<void()>& here) = 0;
};

}  // namespace unroll

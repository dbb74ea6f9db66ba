#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>

namespace unroll {

/// A second stream of a device. Who captures work on it alone may use it until the capture ends.
class SideStream {
 public:
  virtual ~SideStream() = default;

  /// Calls `aside`, whose work goes onto this stream, and `here`, whose work goes onto LibTorch's
  /// current one as all else does. The device may do both at once; what follows waits for both.
  /// What the one works on is none of what the other writes, and is there before and after.
  virtual void run(const std::function<void()>& aside, const std::function<void()>& here) = 0;
};

}  // namespace unroll

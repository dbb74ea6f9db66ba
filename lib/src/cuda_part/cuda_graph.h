#pragma once

#include <functional>

#include "unroll/error.h"  // what its functions throw

namespace unroll {

/// Work of a device that is recorded once and then replayed as a whole.
class CudaGraph {
 public:
  virtual ~CudaGraph() = default;

  /// Does the work in order with the device's other work, but where it will be captured. What
  /// libraries set up at their first calls is set up then.
  virtual void warm_up(const std::function<void()>& work) = 0;

  /// Records the work without doing it, in place of what was captured before. Throws Error, which
  /// says why, when it cannot be captured.
  virtual void capture(const std::function<void()>& work) = 0;

  /// Does what was captured, in order with the device's other work, and without waiting for it.
  virtual void replay() = 0;
};

}  // namespace unroll

#pragma once

#include <chrono>

namespace unroll {

/// Stopwatch over std::chrono::steady_clock, as the notebook's `Timer`; runs from construction.
class Timer {
 public:
  /// Starts again from zero.
  void start() { start_ = Clock::now(); }

  /// Seconds since construction or the last start(); the stopwatch runs on.
  double stop() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace unroll

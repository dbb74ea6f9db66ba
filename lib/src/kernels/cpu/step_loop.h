#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cpu/weights.h"

namespace unroll::cpu {

/// A thread's part of one of a time step's products: the sequences [b_begin, b_end) by the panels
/// [p_begin, p_end) of the weights.
struct StepPart {
  std::size_t phase;  ///< which of the step's products
  int64_t t;
  int64_t b_begin;
  int64_t b_end;
  int64_t p_begin;
  int64_t p_end;
  bool stays_cached;  ///< the weights that this thread reads

  /// The panel that follows panel p once the sequences before b_next have had it, or -1 where it
  /// need not be fetched.
  int64_t panel_after(int64_t p, int64_t b_next) const {
    return stays_cached ? -1 : b_next < b_end ? p : p + 1 < p_end ? p + 1 : p_begin;
  }
};

/// A layer's time steps, each of which multiplies the states by some weights after each other.
struct StepLoop {
  int64_t steps = 0;
  int64_t batch_size = 0;
  bool backward = false;                     ///< from the last step to the first
  std::vector<const Weights*> weights = {};  ///< of each phase, all in the same form
};

/// Calls run for all parts of all phases of all steps in order, on all threads: each has its
/// sequences, and waits for nobody, or its units, and waits at the end of a phase for the others.
void run_steps(const StepLoop& loop, const std::function<void(const StepPart&)>& run);

}  // namespace unroll::cpu

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cpu/matrices/weights.h"

namespace unroll::cpu {

/// A thread's part of one of a time step's products: the sequences [b_begin, b_end) by the panels
/// [p_begin, p_end) of the weights.
struct StepPart {
  std::size_t phase = 0;  ///< which of the step's products
  int64_t t = 0;
  int64_t b_begin = 0;
  int64_t b_end = 0;
  int64_t p_begin = 0;
  int64_t p_end = 0;
  bool prefetches = false;  ///< what this thread reads of the weights does not stay cached
  bool goes_round = false;  ///< the thread's next part is of the same weights

  /// The panel to prefetch during panel p's product with the sequences before b_next, or -1.
  int64_t panel_to_prefetch(int64_t p, int64_t b_next) const {
    if (!prefetches) {
      return -1;
    }
    return b_next < b_end ? p : p + 1 < p_end ? p + 1 : goes_round ? p_begin : -1;
  }
};

/// The time steps of a layer; each multiplies by weights[0], then by weights[1] if there are two.
struct StepLoop {
  int64_t steps = 0;
  int64_t batch_size = 0;
  bool backward = false;                     ///< from the last step to the first
  std::vector<const Weights*> weights = {};  ///< of each phase, all in the same form
};

/// Runs all phases of all steps in order, on all threads. They divide the sequences, and never
/// wait; or the panels, and wait for each other after each phase. `run` must not throw.
void run_steps(const StepLoop& loop, const std::function<void(const StepPart&)>& run);

}  // namespace unroll::cpu

#include "kernels/cpu/step_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/threads.h"

namespace unroll::cpu {
namespace {

struct LoopCase {
  int64_t hidden;
  int64_t batch_size;
  bool backward;
};

// Runs a loop with two products a step, of twice as many columns as units and of as many, and
// checks that each phase of each step gets each sequence and panel once. Where threads divide the
// panels, and so read each other's units, a phase must be done before the next begins.
void expect_all_in_order(const LoopCase& sizes) {
  constexpr int64_t kSteps = 5;
  const int64_t B = sizes.batch_size;
  std::vector<Weights> weights(2);
  weights[0].resize(sizes.hidden, 2 * sizes.hidden, kPanel, 0);
  weights[1].resize(sizes.hidden, sizes.hidden, kPanel, 0);
  const int64_t panels_of_step = weights[0].panels() + weights[1].panels();
  std::mutex mutex;
  std::map<std::tuple<int64_t, std::size_t, int64_t, int64_t>, int> given;
  std::atomic<int64_t> done{0};  // sequences times panels
  const auto run = [&](const StepPart& part) {
    const int64_t n = sizes.backward ? kSteps - 1 - part.t : part.t;
    const int64_t before = B * (n * panels_of_step + (part.phase == 0 ? 0 : weights[0].panels()));
    const bool divides_panels = part.b_end - part.b_begin == B;
    EXPECT_GE(done.load(), divides_panels ? before : 0);
    {
      const std::lock_guard lock(mutex);
      for (int64_t b = part.b_begin; b < part.b_end; ++b) {
        for (int64_t p = part.p_begin; p < part.p_end; ++p) {
          ++given[{part.t, part.phase, b, p}];
        }
      }
    }
    done += (part.b_end - part.b_begin) * (part.p_end - part.p_begin);
  };
  run_steps({.steps = kSteps,
             .batch_size = B,
             .backward = sizes.backward,
             .weights = {&weights[0], &weights[1]}},
            run);
  const int64_t all = kSteps * B * panels_of_step;
  EXPECT_EQ(static_cast<int64_t>(given.size()), all);
  EXPECT_EQ(done.load(), all);  // none twice
}

// Little work; sequences for all; more weights than stay cached, for few sequences and for many.
const std::vector<LoopCase> kLoops{{20, 3, false},  {70, 64, false}, {70, 64, true},
                                   {700, 4, false}, {700, 4, true},  {700, 200, true}};

TEST(StepLoop, GivesOutEverySequenceAndPanelOnceAndInOrder) {
  for (const int64_t threads : {1, 2, 3, 30}) {
    const Threads scope(threads);
    for (const auto& sizes : kLoops) {
      SCOPED_TRACE(::testing::Message() << threads << " threads, " << sizes.hidden << " units, "
                                        << sizes.batch_size << " sequences");
      expect_all_in_order(sizes);
    }
  }
}

TEST(StepLoop, RunsWithinAnotherLoopOnThreads) {
  const Threads scope(2);
  parallel_for(0, 2, 1, [](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      expect_all_in_order(kLoops[static_cast<std::size_t>(3 + n)]);
    }
  });
}

TEST(StepLoop, NamesThePanelToPrefetch) {
  StepPart part{.b_end = 8, .p_begin = 2, .p_end = 4};
  EXPECT_EQ(part.panel_to_prefetch(2, 8), -1);  // all stays cached
  part.prefetches = true;
  EXPECT_EQ(part.panel_to_prefetch(2, 4), 2);
  EXPECT_EQ(part.panel_to_prefetch(2, 8), 3);
  EXPECT_EQ(part.panel_to_prefetch(3, 8), -1);  // the next product is of other weights
  part.goes_round = true;
  EXPECT_EQ(part.panel_to_prefetch(3, 8), 2);
}

}  // namespace
}  // namespace unroll::cpu

#include "kernels/cpu/step_loop.h"

#include <algorithm>

#include "kernels/cpu/machine/barrier.h"
#include "kernels/cpu/machine/l2_cache.h"
#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/matrices/product.h"
#include "kernels/cpu/matrices/tile_product.h"

namespace unroll::cpu {
namespace {

// Multiply-adds of a step below which waiting for each other, and for what another core has
// written, costs more than another thread brings. Reading a weight takes as long as multiplying it
// by six sequences.
constexpr int64_t kWorthABarrier = 1 << 18;
constexpr int64_t kReadingAWeight = 6;

// Multiply-adds of one sequence in one step.
int64_t cost_of_sequence(const StepLoop& loop) {
  int64_t cost = 0;
  for (const auto* W : loop.weights) {
    cost += W->rows() * W->columns();
  }
  return cost;
}

// Bytes of the weights of all phases.
int64_t bytes_of_weights(const StepLoop& loop) {
  const int parts = loop.weights.front()->parts();
  return cost_of_sequence(loop) * (parts == 0 ? 4 : 2 * parts);
}

// Threads that have a panel of some phase, if threads divide the panels.
int64_t threads_with_panels(const StepLoop& loop) {
  int64_t most = 0;
  for (const auto* W : loop.weights) {
    most = std::max(most, W->panels());
  }
  return std::min(thread_count(), most);
}

// When threads divide the sequences, each reads all weights in every step; when they divide the
// panels, only those of its units, but every step waits for the slowest. What costs more depends on
// whether the weights stay in a core's own cache, and on how many sequences share what is read of
// them: with 64 each, in float32, reading hides behind the multiply-adds, and an LSTM of 1024 units
// on two threads is 1.13 times as fast by sequences; with 16 it is 1.07 times as fast by panels, in
// bf16 with 512 units 1.4 times (unroll bench --cell lstm --threads 2). By panels also needs steps
// that are worth their barriers, and panels for all threads. A tile is not divided.
bool divides_sequences(const StepLoop& loop) {
  constexpr int64_t kLeastSequences = 8;
  constexpr int64_t kHidesReading = 64;
  const int64_t threads = thread_count();
  const int64_t cost = cost_of_sequence(loop);
  if (threads == 1 || std::max(loop.batch_size, kReadingAWeight) * cost < kWorthABarrier) {
    return true;
  }
  const int parts = loop.weights.front()->parts();
  const auto have_each = [&](int64_t sequences) { return loop.batch_size >= sequences * threads; };
  const bool is_read_cheaply =
      stay_in_l2_cache(bytes_of_weights(loop)) || (parts == 0 && have_each(kHidesReading));
  return have_each(std::max(kLeastSequences, sequences_at_once(parts))) &&
         (is_read_cheaply || threads_with_panels(loop) < threads);
}

// All phases of all steps: calls part_of(part) with the phase, the step and what is prefetched.
template <typename PartOf>
void for_phases(const StepLoop& loop, bool prefetches, const PartOf& part_of) {
  const std::size_t phases = loop.weights.size();
  for (int64_t n = 0; n < loop.steps; ++n) {
    for (std::size_t phase = 0; phase < phases; ++phase) {
      part_of(StepPart{.phase = phase,
                       .t = loop.backward ? loop.steps - 1 - n : n,
                       .prefetches = prefetches,
                       .goes_round = phases == 1});
    }
  }
}

}  // namespace

void run_steps(const StepLoop& loop, const std::function<void(const StepPart&)>& run) {
  const int parts = loop.weights.front()->parts();
  if (divides_sequences(loop)) {
    const int64_t at_once = sequences_at_once(parts);
    const bool prefetches = !stay_in_l2_cache(bytes_of_weights(loop));
    parallel_for(0, parts_of(loop.batch_size, at_once),
                 grain(cost_of_sequence(loop) * loop.steps * at_once),
                 [&](int64_t first, int64_t last) {
                   const TileScope scope(parts);
                   for_phases(loop, prefetches, [&](StepPart part) {
                     part.b_begin = first * at_once;
                     part.b_end = std::min(last * at_once, loop.batch_size);
                     part.p_end = loop.weights[part.phase]->panels();
                     run(part);
                   });
                 });
    return;
  }
  const int64_t threads = threads_with_panels(loop);
  const bool prefetches = !stay_in_l2_cache(bytes_of_weights(loop) / threads);
  Barrier barrier(threads);
  // Who waits cannot be told of an exception.
  parallel_for(0, threads, 1, [&](int64_t first, int64_t last) noexcept {
    const TileScope scope(parts);
    for_phases(loop, prefetches, [&](StepPart part) {
      const int64_t panels = loop.weights[part.phase]->panels();
      part.b_end = loop.batch_size;
      part.p_begin = panels * first / threads;
      part.p_end = panels * last / threads;
      run(part);
      barrier.wait(last - first);
    });
  });
}

}  // namespace unroll::cpu

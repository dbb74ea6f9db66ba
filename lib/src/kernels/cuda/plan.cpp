#include "kernels/cuda/plan.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "kernels/cuda/shapes.h"

namespace unroll::cuda {
namespace {

constexpr std::array kSequences{1, 2, 4, 8};

int divide_up(int64_t a, int64_t b) { return static_cast<int>((a + b - 1) / b); }

int bytes_of(const BlockLayout& layout) { return layout.end * static_cast<int>(sizeof(float)); }

// Nanoseconds of one time step of a group of S sequences, as an H200 takes them.
struct StepTime {
  double exchange;      // of states among its blocks
  double per_sequence;  // what each sequence adds

  double of(int S) const { return exchange + per_sequence * S; }
};

// An exchange of one sequence in a cluster took 0.60 us, of eight 0.87; across a grid 1.35 to 1.5.
constexpr double kClusterExchange = 570;
constexpr double kGridExchange = 1400;
constexpr double kExchangeOfSequence = 40;
// Four warps take turns at each of a multiprocessor's four schedulers, at 1.755 GHz. What tensor
// cores take is little beside the exchange.
constexpr double kMultiplyAdd = 4 / 1.755;

StepTime step_time(double exchange, int64_t depth, int64_t columns, Operands operands) {
  const double of_thread = static_cast<double>(depth * columns) / kThreads;
  const double product = operands == Operands::kBf16 ? 0 : kMultiplyAdd * of_thread;
  return {exchange, kExchangeOfSequence + product};
}

// How many sequences a group takes, and what a time step of the whole batch then takes.
struct Sequences {
  int S = 0;  // 0 if none fits
  double time = 0;
};

// Of the numbers of sequences for which `fits`, the one with which so many groups are through with
// the batch soonest: groups that all have had their sequences take the next ones, in waves. Tensor
// cores take 8 at a time, no fewer.
template <typename Fits>
Sequences sequences_of(int64_t batch_size, int groups, Operands operands, const StepTime& time,
                       const Fits& fits) {
  Sequences best;
  for (const int S : kSequences) {
    if ((operands == Operands::kBf16 && S != kTileSequences) || !fits(S)) {
      continue;
    }
    const int waves = divide_up(batch_size, static_cast<int64_t>(S) * groups);
    const double all = waves * time.of(S);
    if (best.S == 0 || all < best.time) {
      best = {S, all};
    }
  }
  return best;
}

// The smallest kernel in clusters that has room for so many units, or 0.
int most_hidden_of(CellKind cell, int64_t hidden, Operands operands) {
  const auto* const found = std::find_if(
      std::begin(kClusterSizes), std::end(kClusterSizes),
      [&](int most) { return hidden <= most && has_cluster_kernel(cell, most, operands); });
  return found != std::end(kClusterSizes) ? *found : 0;
}

std::optional<Plan> cluster_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                                 const GpuLimits& limits, Operands operands) {
  const bool is_backward = way == Way::kBackward;
  const int most_hidden = most_hidden_of(cell, hidden, operands);
  if (most_hidden == 0) {
    return std::nullopt;
  }
  Plan plan{.operands = operands,
            .in_clusters = true,
            .units = cluster_units(cell, most_hidden),
            .most_hidden = most_hidden};
  plan.blocks = divide_up(hidden, plan.units);
  if (plan.blocks < kFewestBlocks || plan.blocks > kMostBlocks) {
    return std::nullopt;
  }
  // A GPU may have clusters of sixteen blocks, but none of fewer beyond eight.
  constexpr int kMostEverywhere = 8;
  const auto room_of = [&](int blocks) {
    return limits.clusters.at(static_cast<std::size_t>(blocks));
  };
  if (plan.blocks > kMostEverywhere && room_of(plan.blocks) == 0) {
    plan.blocks = kMostBlocks;
  }
  const int room = room_of(plan.blocks);
  if (room == 0) {
    return std::nullopt;
  }
  const auto bytes = [&](int S) {
    return bytes_of(cluster_layout(cell, is_backward, most_hidden, S, operands));
  };
  const auto time =
      step_time(kClusterExchange, most_hidden, product_gates(cell) * plan.units, operands);
  plan.S = sequences_of(batch_size, room, operands, time, [&](int S) {
             return bytes(S) <= limits.shared_bytes;
           }).S;
  if (plan.S == 0) {
    return std::nullopt;
  }
  plan.groups = std::min(room, divide_up(batch_size, plan.S));
  plan.shared_bytes = bytes(plan.S);
  return plan;
}

std::optional<Plan> grid_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                              const GpuLimits& limits, Operands operands) {
  const bool is_backward = way == Way::kBackward;
  std::optional<Plan> best;
  double shortest = 0;
  // With more units a block, fewer blocks wait for each other: more blocks must be clearly faster.
  constexpr double kClearly = 0.9;
  for (const int units : {64, 32, 16, 8}) {
    const int columns = (is_backward ? 1 : product_gates(cell)) * units;
    const int blocks = divide_up(hidden, units);
    if (columns > 2 * kLanes || blocks > limits.multiprocessors) {
      continue;
    }
    const int room = limits.multiprocessors / blocks;
    const auto layout = [&](int S) {
      return grid_layout(cell, is_backward, static_cast<int>(hidden), units, S, operands);
    };
    const auto each = step_time(kGridExchange, hidden, product_gates(cell) * units, operands);
    const auto [S, time] = sequences_of(batch_size, room, operands, each, [&](int sequences) {
      return bytes_of(layout(sequences)) <= limits.shared_bytes;
    });
    if (S == 0 || (best && time > kClearly * shortest)) {
      continue;
    }
    shortest = time;
    const int groups = std::min(room, divide_up(batch_size, S));
    best = Plan{.operands = operands,
                .in_clusters = false,
                .S = S,
                .units = units,
                .blocks = blocks,
                .groups = groups,
                .columns = columns > kLanes ? 2 : 1,
                .shared_bytes = bytes_of(layout(S)),
                .exchange_words = int64_t{2} * layout(S).depth * S * groups};
  }
  return best;
}

}  // namespace

std::optional<Plan> make_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                              const GpuLimits& limits, Operands operands) {
  // A block has at most 64 units, and sizes in shared memory are ints.
  if (!limits.has_kernels() || batch_size < 1 || hidden < 1 ||
      hidden > int64_t{64} * limits.multiprocessors) {
    return std::nullopt;
  }
  const auto plan = cluster_plan(cell, way, batch_size, hidden, limits, operands);
  return plan ? plan : grid_plan(cell, way, batch_size, hidden, limits, operands);
}

bool has_generation(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                    const GpuLimits& limits) {
  constexpr int64_t kMostRounds = 8;
  const auto plan = make_plan(cell, Way::kForward, batch_size, hidden, limits, Operands::kFloat32);
  return plan && vocab_size <= kMostRounds * kLogits * plan->blocks;
}

}  // namespace unroll::cuda

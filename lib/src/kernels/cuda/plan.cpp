#include "kernels/cuda/plan.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/shapes.h"

namespace unroll::cuda {
namespace {

constexpr std::array kSequences{1, 2, 4, 8};

int divide_up(int64_t a, int64_t b) { return static_cast<int>((a + b - 1) / b); }

int bytes_of(const BlockLayout& layout) { return layout.end * static_cast<int>(sizeof(float)); }

// The fewest sequences of a group with which the groups hold the whole batch, or the most; tensor
// cores take 8 at a time, no fewer.
int sequences_of(int64_t batch_size, int groups, Operands operands) {
  if (operands == Operands::kBf16) {
    return kTileSequences;
  }
  const auto* enough = std::find_if(kSequences.begin(), kSequences.end(), [&](int S) {
    return static_cast<int64_t>(S) * groups >= batch_size;
  });
  return enough == kSequences.end() ? kSequences.back() : *enough;
}

// Every GPU with clusters runs clusters of eight blocks. In a cluster of one block, stores into the
// cluster's memory are undefined (PTX, st.async).
constexpr int kFewestBlocks = 2;
constexpr int kMostBlocks = 8;

// The most units for which a cluster's threads hold the weights in registers: in 64 of their 128,
// in bf16 in half as many, where a warp holds a whole tile of the depth.
int most_hidden_of(CellKind cell, int64_t hidden, Operands operands) {
  if (hidden <= 128 && operands == Operands::kFloat32) {
    return 128;
  }
  if (hidden <= 256) {
    return 256;
  }
  return hidden <= 512 && is_simple(cell) ? 512 : 0;
}

std::optional<Plan> cluster_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                                 const GpuLimits& limits, Operands operands) {
  const int most_hidden = most_hidden_of(cell, hidden, operands);
  if (!limits.has_clusters || most_hidden == 0) {
    return std::nullopt;
  }
  Plan plan{.operands = operands,
            .in_clusters = true,
            .units = cluster_units(most_hidden),
            .most_hidden = most_hidden};
  plan.blocks = divide_up(hidden, plan.units);
  if (plan.blocks < kFewestBlocks || plan.blocks > kMostBlocks ||
      plan.blocks > limits.multiprocessors) {
    return std::nullopt;
  }
  const int room = limits.multiprocessors / plan.blocks;
  plan.S = sequences_of(batch_size, room, operands);
  plan.groups = std::min(room, divide_up(batch_size, plan.S));
  plan.shared_bytes = bytes_of(cluster_layout(cell, way == Way::kBackward, most_hidden, plan.S));
  return plan.shared_bytes <= limits.shared_bytes ? std::optional(plan) : std::nullopt;
}

std::optional<Plan> grid_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                              const GpuLimits& limits, Operands operands) {
  const bool is_backward = way == Way::kBackward;
  // With more units a block, fewer blocks wait for each other.
  for (const int units : {64, 32, 16, 8}) {
    const int columns = (is_backward ? 1 : product_gates(cell)) * units;
    const int blocks = divide_up(hidden, units);
    if (columns > 2 * kLanes || blocks > limits.multiprocessors) {
      continue;
    }
    const int room = limits.multiprocessors / blocks;
    const int fewest = operands == Operands::kBf16 ? kTileSequences : 1;
    for (int S = sequences_of(batch_size, room, operands); S >= fewest; S /= 2) {
      const auto layout =
          grid_layout(cell, is_backward, static_cast<int>(hidden), units, S, operands);
      if (bytes_of(layout) > limits.shared_bytes) {
        continue;
      }
      const int groups = std::min(room, divide_up(batch_size, S));
      return Plan{.operands = operands,
                  .in_clusters = false,
                  .S = S,
                  .units = units,
                  .blocks = blocks,
                  .groups = groups,
                  .columns = columns > kLanes ? 2 : 1,
                  .shared_bytes = bytes_of(layout),
                  .exchange_floats = int64_t{2} * layout.depth * S * groups};
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Plan> make_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                              const GpuLimits& limits, Operands operands) {
  // A block has at most 64 units, and sizes in shared memory are ints.
  if (!limits.has_kernels || batch_size < 1 || hidden < 1 ||
      hidden > int64_t{64} * limits.multiprocessors) {
    return std::nullopt;
  }
  auto plan = cluster_plan(cell, way, batch_size, hidden, limits, operands);
  if (!plan) {
    plan = grid_plan(cell, way, batch_size, hidden, limits, operands);
  }
  if (plan) {
    plan->shared_limit = limits.shared_bytes;
  }
  return plan;
}

bool has_plans(CellKind cell, int64_t batch_size, int64_t hidden, const GpuLimits& limits,
               Operands operands) {
  return make_plan(cell, Way::kForward, batch_size, hidden, limits, operands) &&
         make_plan(cell, Way::kBackward, batch_size, hidden, limits, operands);
}

bool has_generation(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                    const GpuLimits& limits) {
  constexpr int64_t kMostRounds = 8;
  const auto plan = make_plan(cell, Way::kForward, batch_size, hidden, limits, Operands::kFloat32);
  return plan && vocab_size <= kMostRounds * kLogits * plan->blocks;
}

}  // namespace unroll::cuda

#pragma once

#include <cstdint>
#include <optional>

#include "kernels/cuda/shapes.h"

namespace unroll::cuda {

/// Limits of a GPU.
struct GpuLimits {
  int multiprocessors = 0;
  int shared_bytes = 0;       ///< of dynamic shared memory that a block can have
  bool has_kernels = false;   ///< compiled for it: compute capability 8.0 and later
  bool has_clusters = false;  ///< compute capability 9.0 and later
};

enum class Way { kForward, kBackward };

/// How blocks share a layer's time steps, one block a multiprocessor, so that the weights never
/// move. All blocks of a grid run at the same time, and so do all of a cluster; a cluster that
/// finds no room beside the others waits until one ends.
struct Plan {
  Operands operands = Operands::kFloat32;
  bool in_clusters = false;
  int S = 1;       ///< sequences of a group: 1, 2, 4 or 8; on tensor cores 8
  int units = 0;   ///< of a block
  int blocks = 0;  ///< of a group
  int groups = 0;
  int most_hidden = 0;          ///< in clusters: the most hidden units of the kernel
  int columns = 0;              ///< in a grid: of a lane, 1 or 2
  int shared_bytes = 0;         ///< of a block
  int shared_limit = 0;         ///< what a block can have at most
  int64_t exchange_floats = 0;  ///< in a grid: of ExchangeMemory, all groups together
};

/// A GPU's plan for a layer of H units and batches of B, or none if its multiprocessors have no
/// room for the weights. A layer of few units goes into clusters, which exchange a step's states
/// fastest; a larger one, or one on a GPU without clusters, takes the whole grid.
std::optional<Plan> make_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                              const GpuLimits& limits, Operands operands);

/// Whether there are plans for both ways.
bool has_plans(CellKind cell, int64_t batch_size, int64_t hidden, const GpuLimits& limits,
               Operands operands);

/// Whether there is a plan for a continuation: that of the way forward, if its blocks compute the
/// logits of the vocabulary in a few rounds. For more logits, one product on the whole GPU is
/// likely to be faster.
bool has_generation(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                    const GpuLimits& limits);

}  // namespace unroll::cuda

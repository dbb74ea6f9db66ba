#pragma once

#include <cstdint>
#include <optional>

#include "kernels/cuda/shapes.h"

namespace unroll::cuda {

/// What a GPU has.
struct DeviceLimits {
  int multiprocessors = 0;
  int shared_bytes = 0;       ///< of dynamic shared memory that a block can have
  bool has_kernels = false;   ///< that are compiled for it: compute capability 8.0 and later
  bool has_clusters = false;  ///< compute capability 9.0 and later
};

enum class Way { kForward, kBackward };

/// How a layer's time steps are shared among blocks, one a multiprocessor, so that the weights stay
/// where they are. The blocks of a grid run at the same time, and those of a cluster; a cluster
/// that a GPU has no place for beside the others waits for one to end.
struct Plan {
  Operands operands = Operands::kFloat32;
  bool in_clusters = false;
  int S = 1;       ///< sequences of a group: 1, 2, 4 or 8; on tensor cores 8
  int units = 0;   ///< of a block
  int blocks = 0;  ///< of a group
  int groups = 0;
  int most_hidden = 0;   ///< in clusters: up to how many hidden units the kernel has room for
  int columns = 0;       ///< in a grid: of a lane, 1 or 2
  int shared_bytes = 0;  ///< of a block
  int shared_limit = 0;  ///< what a block can have at most
  int64_t exchange_floats = 0;  ///< in a grid: of ExchangeMemory, all groups together
};

/// The plan of a GPU for a layer of H units and batches of B, or none where the weights find no
/// room in all its multiprocessors. A layer of few units goes into clusters, which exchange a
/// step's states fastest; larger ones, or GPUs without clusters, take the whole grid.
std::optional<Plan> make_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                              const DeviceLimits& limits, Operands operands);

/// Whether there are plans for both ways.
bool has_plans(CellKind cell, int64_t batch_size, int64_t hidden, const DeviceLimits& limits,
               Operands operands);

/// Whether there is one for a continuation: that of the way forward, whose blocks compute the
/// logits of so small a vocabulary in a few rounds. Of a larger one, one product on the whole GPU
/// is likely to be faster.
bool has_generation(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                    const DeviceLimits& limits);

}  // namespace unroll::cuda

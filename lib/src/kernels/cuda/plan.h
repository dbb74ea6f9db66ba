#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "kernels/cuda/shapes.h"

namespace unroll::cuda {

/// Every GPU with clusters runs clusters of eight blocks, some run those of sixteen. In a cluster
/// of one block, stores into the cluster's memory are undefined (PTX, st.async).
constexpr int kFewestBlocks = 2;
constexpr int kMostBlocks = 16;

/// Compute capabilities from which on there are kernels, and clusters: 80 for 8.0.
constexpr int kFirstWithKernels = 80;
constexpr int kFirstWithClusters = 90;

/// Limits of a GPU.
struct GpuLimits {
  int capability = 0;
  int multiprocessors = 0;
  int shared_bytes = 0;  ///< of dynamic shared memory that a block can have
  /// [n]: clusters of n blocks, a block a multiprocessor, that run at once; 0 without clusters.
  /// Fewer than the multiprocessors divided by n: a cluster's blocks have to be neighbours.
  std::array<int, kMostBlocks + 1> clusters{};

  bool has_kernels() const { return capability >= kFirstWithKernels; }
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
  int most_hidden = 0;         ///< in clusters: the most hidden units of the kernel
  int columns = 0;             ///< in a grid: of a lane, 1 or 2
  int shared_bytes = 0;        ///< of a block
  int64_t exchange_words = 0;  ///< in a grid: of ExchangeMemory, all groups together
};

/// A GPU's plan for a layer of H units and batches of B, or none if its multiprocessors have no
/// room for the weights. A layer of few units goes into clusters, which exchange a step's states
/// fastest; a larger one, or one on a GPU without clusters, takes the whole grid. A group takes as
/// many sequences, and in a grid a block as many units, as promise the shortest time for the whole
/// batch.
std::optional<Plan> make_plan(CellKind cell, Way way, int64_t batch_size, int64_t hidden,
                              const GpuLimits& limits, Operands operands);

/// Whether there is a plan for a continuation: that of the way forward, if its blocks compute the
/// logits of the vocabulary in a few rounds. For more logits, one product on the whole GPU is
/// likely to be faster.
bool has_generation(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                    const GpuLimits& limits);

}  // namespace unroll::cuda

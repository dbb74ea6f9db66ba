#pragma once

#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

// The blocks of a group compute the same S sequences, each block some of the units, and each needs
// what all have computed: `rows` values of each sequence. In turns, all threads
//
//   publish<S>(k, s, value)    send values, if any, to all blocks of the group, and then
//   receive<S>(rows)           get those of all: [k][s], in the block's shared memory
//
// between begin() and end().
//
// Two buffers alternate. A block publishes to one only after it has received from the other, and
// each block publishes to the other only after its last read of the first: no further barrier is
// needed. That holds if a sync_block() separates the block's reads from a thread's next publish.

/// Between the blocks of a cluster, straight into each other's shared memory; each value counts on
/// a barrier of the receiving block. A barrier of all blocks would cost a fence of the whole GPU a
/// step.
class ClusterExchange {
 public:
  /// `memory`: shared; `depth`: the most rows, padded as the slab reads them.
  UNROLL_DEVICE ClusterExchange(float* memory, int depth, int S, int blocks)
      : values_(memory + kArrivalFloats),
        arrivals_(reinterpret_cast<uint64_t*>(memory)),
        size_(depth * S),
        blocks_(blocks) {}

  UNROLL_DEVICE void begin() {
    for (int i = thread_index(); i < 2 * size_; i += kThreads) {
      values_[i] = 0;  // rows that nobody publishes
    }
    if (thread_index() == 0) {
      init_arrivals(arrivals_);
      init_arrivals(arrivals_ + 1);
    }
    sync_cluster();  // all blocks are ready to be written to
  }

  // A block must not leave while others store into its memory.
  UNROLL_DEVICE void end() { sync_cluster(); }

  template <int S>
  UNROLL_DEVICE void publish(int k, int s, float value) {
    float* mine = values_ + buffer() * size_ + k * S + s;
    for (int rank = 0; rank < blocks_; ++rank) {
      store_in_cluster(mine, arrivals_ + buffer(), rank, value);
    }
  }

  template <int S>
  UNROLL_DEVICE const float* receive(int rows) {
    if (thread_index() == 0) {
      expect_arrivals(arrivals_ + buffer(), rows * S * static_cast<int>(sizeof(float)));
    }
    wait_for_arrivals(arrivals_ + buffer(), count_ / 2 % 2);
    const float* values = values_ + buffer() * size_;
    ++count_;
    return values;
  }

 private:
  UNROLL_DEVICE int buffer() const { return static_cast<int>(count_ % 2); }

  float* values_;
  uint64_t* arrivals_;  // two
  int size_;
  int blocks_;
  unsigned count_ = 0;  // of calls of receive()
};

/// Between any blocks that run at the same time, through the GPU's memory.
class GridExchange {
 public:
  /// `memory`: shared, depth * S floats; `depth` is a multiple of four. In the GPU's memory, the
  /// group's 2 * depth * S `values`, whatever they are, and its count of `arrivals`, 0 before and
  /// after.
  UNROLL_DEVICE GridExchange(float* memory, float* values, unsigned* arrivals, int depth, int S,
                             int blocks)
      : memory_(memory),
        values_(values),
        arrivals_(arrivals),
        size_(depth * S),
        blocks_(static_cast<unsigned>(blocks)) {}

  UNROLL_DEVICE void begin() {
    for (int i = thread_index(); i < size_; i += kThreads) {
      memory_[i] = 0;  // rows that nobody publishes
    }
    sync_block();
  }
  // Nobody waits any more.
  UNROLL_DEVICE void end() {
    if (thread_index() == 0) {
      leave(arrivals_, (count_ + 1) * blocks_);
    }
  }

  template <int S>
  UNROLL_DEVICE void publish(int k, int s, float value) {
    store_for_blocks(buffer() + k * S + s, value);
  }

  template <int S>
  UNROLL_DEVICE const float* receive(int rows) {
    const auto* from = reinterpret_cast<const float4*>(buffer());
    auto* to = reinterpret_cast<float4*>(memory_);
    ++count_;
    sync_block();
    if (thread_index() == 0) {
      arrive(arrivals_);
      wait_for(arrivals_, count_ * blocks_);
    }
    sync_block();
    for (int i = thread_index(); i < in_fours(rows * S) / 4; i += kThreads) {
      to[i] = load_of_blocks(from + i);
    }
    sync_block();
    return memory_;
  }

 private:
  UNROLL_DEVICE float* buffer() const { return values_ + count_ % 2 * size_; }

  float* memory_;
  float* values_;
  unsigned* arrivals_;
  int size_;
  unsigned blocks_;
  unsigned count_ = 0;  // of calls of receive()
};

}  // namespace unroll::cuda

#pragma once

#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

// A group of blocks computes the same S sequences, each block some of the units, and each needs
// what all have computed: `rows` values of each sequence. Over and over, all threads
//
//   publish<S>(k, s, value)    give values to all blocks of the group, or none, and then
//   receive<S>(rows)           get those of all: [k][s], in the block's shared memory
//
// between begin() and end().
//
// There are two buffers, in turns. A block publishes to one only after it has received from the
// other what each block published after its last reading of the one, so nothing else keeps them
// apart. That needs a sync_block() between a thread's publishing and the block's reading before it.

/// Between the blocks of a cluster, straight into each other's shared memory; each value counts on
/// a barrier of the block that it comes to. Nothing waits for all blocks to have arrived: that
/// costs a fence of the whole GPU a step.
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
    sync_cluster();  // each block is there, and may be written to
  }

  // Blocks whose memory others store to leave together.
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
  unsigned count_ = 0;  // of what was received
};

/// Between any blocks that run at the same time, through the device's memory.
class GridExchange {
 public:
  /// `memory`: shared, depth * S floats, `depth` being a multiple of four. Of the device's memory
  /// the group has 2 * depth * S `values` and the count of `arrivals`, zeros at first.
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
  UNROLL_DEVICE void end() {}

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
  unsigned count_ = 0;  // of what was received
};

}  // namespace unroll::cuda

#pragma once

#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

/// A word of 4 bytes that blocks exchange: a value, or in bf16 two, of rows 2 k and 2 k + 1.
template <Operands>
struct Exchanged {
  using Word = float;
};
template <>
struct Exchanged<Operands::kBf16> {
  using Word = uint32_t;
};

// The blocks of a group compute the same S sequences, each block some of the units, and each needs
// what all have computed: so many words of each sequence. In turns, all threads
//
//   publish<S>(k, s, word)     send words, if any, to all blocks of the group,
//   close<S>(words)            when theirs are sent, and
//   receive<S>(words)          get those of all: [k][s], in the block's shared memory
//
// between begin() and end(); a group has no block without words. What others need not wait for
// comes between close and receive. `kShares` threads that have the same word share the sending.
//
// Two buffers alternate. A block publishes to one only after it has received from the other, and
// each block publishes to the other only after its last read of the first: no further barrier is
// needed. That holds if a sync_block() separates the block's reads from a thread's next publish.

/// Between the blocks of a cluster, straight into each other's shared memory; each value counts on
/// a barrier of the receiving block. A barrier of all blocks would cost a fence of the whole GPU a
/// step.
template <Operands kExchanged>
class ClusterExchange {
 public:
  static constexpr Operands kOperands = kExchanged;
  using Word = typename Exchanged<kOperands>::Word;

  /// `memory`: shared; `depth`: the most words of a sequence, padded as the slab reads them. Blocks
  /// of the cluster beyond `blocks` begin and end, and do nothing between.
  UNROLL_DEVICE ClusterExchange(float* memory, int depth, int S, int blocks)
      : words_(reinterpret_cast<Word*>(memory + kArrivalFloats)),
        arrivals_(reinterpret_cast<uint64_t*>(memory)),
        size_(depth * S),
        blocks_(blocks) {}

  UNROLL_DEVICE void begin() {
    for (int i = thread_index(); i < 2 * size_; i += kThreads) {
      words_[i] = 0;  // that nobody publishes
    }
    if (thread_index() == 0) {
      init_arrivals(arrivals_);
      init_arrivals(arrivals_ + 1);
    }
    sync_cluster();  // all blocks are ready to be written to
  }

  // A block must not leave while others store into its memory.
  UNROLL_DEVICE void end() { sync_cluster(); }

  template <int S, int kShares = 1>
  UNROLL_DEVICE void publish(int k, int s, Word word, int share = 0) {
    Word* mine = words_ + buffer() * size_ + k * S + s;
    for (int rank = share; rank < blocks_; rank += kShares) {
      store_in_cluster(mine, arrivals_ + buffer(), rank, word);
    }
  }

  template <int S>
  UNROLL_DEVICE void close(int words) {
    if (thread_index() == 0) {
      expect_arrivals(arrivals_ + buffer(), words * S * static_cast<int>(sizeof(Word)));
    }
  }

  template <int S>
  UNROLL_DEVICE const Word* receive(int /*words*/) {
    wait_for_arrivals(arrivals_ + buffer(), count_ / 2 % 2);
    const Word* received = words_ + buffer() * size_;
    ++count_;
    return received;
  }

 private:
  UNROLL_DEVICE int buffer() const { return static_cast<int>(count_ % 2); }

  Word* words_;
  uint64_t* arrivals_;  // two
  int size_;
  int blocks_;
  unsigned count_ = 0;  // of calls of receive()
};

/// Between any blocks that run at the same time, through the GPU's memory.
template <Operands kExchanged>
class GridExchange {
 public:
  static constexpr Operands kOperands = kExchanged;
  using Word = typename Exchanged<kOperands>::Word;

  /// `memory`: shared, depth * S words; `depth` is a multiple of four. In the GPU's memory, the
  /// group's 2 * depth * S `words`, whatever they are, and its count of `arrivals`, 0 before and
  /// after.
  UNROLL_DEVICE GridExchange(float* memory, uint32_t* words, unsigned* arrivals, int depth, int S,
                             int blocks)
      : memory_(reinterpret_cast<Word*>(memory)),
        words_(reinterpret_cast<Word*>(words)),
        arrivals_(arrivals),
        size_(depth * S),
        blocks_(static_cast<unsigned>(blocks)) {}

  UNROLL_DEVICE void begin() {
    for (int i = thread_index(); i < size_; i += kThreads) {
      memory_[i] = 0;  // that nobody publishes
    }
    sync_block();
  }
  // Nobody waits any more.
  UNROLL_DEVICE void end() {
    if (thread_index() == 0) {
      leave(arrivals_, (count_ + 1) * blocks_);
    }
  }

  template <int S, int kShares = 1>
  UNROLL_DEVICE void publish(int k, int s, Word word, int share = 0) {
    if (share == 0) {
      store_for_blocks(buffer() + k * S + s, word);
    }
  }

  template <int S>
  UNROLL_DEVICE void close(int /*words*/) {
    sync_block();
    if (thread_index() == 0) {
      arrive(arrivals_);
    }
  }

  template <int S>
  UNROLL_DEVICE const Word* receive(int words) {
    const auto* from = reinterpret_cast<const float4*>(buffer());
    auto* to = reinterpret_cast<float4*>(memory_);
    ++count_;
    if (thread_index() == 0) {
      wait_for(arrivals_, count_ * blocks_);
    }
    sync_block();
    for (int i = thread_index(); i < in_fours(words * S) / 4; i += kThreads) {
      to[i] = load_of_blocks(from + i);
    }
    sync_block();
    return memory_;
  }

 private:
  UNROLL_DEVICE Word* buffer() const { return words_ + count_ % 2 * size_; }

  Word* memory_;
  Word* words_;
  unsigned* arrivals_;
  int size_;
  unsigned blocks_;
  unsigned count_ = 0;  // of calls of receive()
};

}  // namespace unroll::cuda

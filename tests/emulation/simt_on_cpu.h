#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>

// kernels/cuda/simt.h on the CPU. Each thread of a grid is a fiber; all of them run in turns on one
// thread of the machine. The next fiber is drawn at random, and so is the delay of a store into
// another block's memory: a kernel that lacks a barrier gives other results. Shared memory begins
// as NaN. Threads that wait for ever are an error.

#define UNROLL_DEVICE inline

#define UNROLL_KERNEL(threads, blocks) inline void
#define UNROLL_LOOP

struct float2 {
  float x, y;
};
struct float4 {
  float x, y, z, w;
};

namespace unroll::cuda {

int thread_index();
int block_index();
int block_count();
float* shared_memory();
void sync_block();
void sync_cluster();
void init_arrivals(uint64_t* arrivals);
void expect_arrivals(uint64_t* arrivals, int bytes);
void wait_for_arrivals(uint64_t* arrivals, unsigned parity);
void store_bits_in_cluster(void* mine, uint64_t* arrivals, int rank, uint32_t bits);
template <typename Word>
void store_in_cluster(Word* mine, uint64_t* arrivals, int rank, Word value) {
  store_bits_in_cluster(mine, arrivals, rank, std::bit_cast<uint32_t>(value));
}
double shuffle_xor_double(double value, int bits);
template <typename Value>
Value shuffle_xor(Value value, int bits) {
  return static_cast<Value>(shuffle_xor_double(value, bits));
}
uint32_t round_to_bf16(float low, float high);
void multiply_tiles(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4]);
void arrive(unsigned* count);
void wait_for(const unsigned* count, unsigned target);
void leave(unsigned* count, unsigned last);
bool is_last_arrival(unsigned* count, unsigned blocks);
template <typename Value>
Value load_of_blocks(const Value* from) {
  return *from;
}
template <typename Word>
void store_for_blocks(Word* to, Word value) {
  *to = value;
}

/// A launch.
struct Grid {
  int blocks = 1;
  int threads = 1;               // of a block
  int cluster = 1;               // blocks of a cluster
  std::size_t shared_bytes = 0;  // of a block
  uint32_t seed = 0;             // of the order
};

/// Calls `kernel` in each thread of the grid. Throws std::runtime_error when threads wait for ever.
void run(const Grid& grid, const std::function<void()>& kernel);

}  // namespace unroll::cuda

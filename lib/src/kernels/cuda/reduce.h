#pragma once

#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

/// The sum of a value of each thread of the block, always in the same order; all threads get it.
/// `room`: kThreads values in shared memory.
template <typename Value>
UNROLL_DEVICE Value block_sum(Value value, Value* room) {
  sync_block();  // others may still read the room
  room[thread_index()] = value;
  sync_block();
  if (thread_index() < kLanes) {
    Value sum = 0;
    UNROLL_LOOP
    for (int warp = 0; warp < kWarps; ++warp) {
      sum += room[warp * kLanes + thread_index()];
    }
    room[thread_index()] = sum;
  }
  sync_block();
  Value total = 0;
  UNROLL_LOOP
  for (int lane = 0; lane < kLanes; ++lane) {
    total += room[lane];
  }
  return total;
}

/// Whether this block is the last of the grid to come here; it then sees what the others wrote
/// before. `room`: an int in shared memory.
UNROLL_DEVICE bool is_last_block(unsigned* arrivals, int* room) {
  sync_block();
  if (thread_index() == 0) {
    *room = is_last_arrival(arrivals, static_cast<unsigned>(block_count())) ? 1 : 0;
  }
  sync_block();
  return *room == 1;
}

}  // namespace unroll::cuda

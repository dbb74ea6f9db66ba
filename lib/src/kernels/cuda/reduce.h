#pragma once

#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

/// The values of a warp's lanes put together, always in the same order; all lanes get the result.
/// together(x, y) is together(y, x).
template <typename Value, typename Together>
UNROLL_DEVICE Value of_warp(Value value, const Together& together) {
  UNROLL_LOOP
  for (int bits = kLanes / 2; bits > 0; bits /= 2) {
    value = together(value, shuffle_xor(value, bits));
  }
  return value;
}

template <typename Value>
UNROLL_DEVICE Value warp_sum(Value value) {
  return of_warp(value, [](Value x, Value y) { return x + y; });
}

/// The sum of a value of each thread of the block, always in the same order; all threads get it.
/// `room`: kWarps values in shared memory.
template <typename Value>
UNROLL_DEVICE Value block_sum(Value value, Value* room) {
  const Value mine = warp_sum(value);
  sync_block();  // others may still read the room
  if (thread_index() % kLanes == 0) {
    room[thread_index() / kLanes] = mine;
  }
  sync_block();
  Value total = 0;
  UNROLL_LOOP
  for (int warp = 0; warp < kWarps; ++warp) {
    total += room[warp];
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

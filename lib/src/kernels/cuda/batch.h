#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/reduce.h"

namespace unroll::cuda {

UNROLL_DEVICE int64_t token_at(const BatchArguments& a, int64_t i) {
  return a.token_bytes == 1   ? static_cast<const uint8_t*>(a.corpus)[i]
         : a.token_bytes == 4 ? static_cast<const int32_t*>(a.corpus)[i]
                              : static_cast<const int64_t*>(a.corpus)[i];
}

template <typename Arguments>
UNROLL_KERNEL(kThreads, 1)
cut_batch(const Arguments a) {
  const int64_t* starts = a.starts + *a.position * a.rows;
  const int64_t all = a.tokens * a.rows;
  const int64_t stride = static_cast<int64_t>(block_count()) * kThreads;
  for (int64_t i = static_cast<int64_t>(block_index()) * kThreads + thread_index(); i < all;
       i += stride) {
    a.batch[i] = token_at(a, starts[i % a.rows] + i / a.rows);
  }
  if (is_last_block(a.arrivals, reinterpret_cast<int*>(shared_memory())) && thread_index() == 0) {
    *a.position += 1;
  }
}

}  // namespace unroll::cuda

#pragma once

#include <cstdint>
#include <functional>

namespace unroll::cpu {

/// Calls work(first, last) for parts of [begin, end) on LibTorch's own threads, at least `grain`
/// indices each; on the calling thread alone when there is no more than that. The parts run at the
/// same time, each on a thread of its own, so that they may wait for each other.
void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t first, int64_t last)>& work);

/// How many threads that uses.
int64_t thread_count();

}  // namespace unroll::cpu

#include "kernels/cpu/machine/parallel.h"

#include <ATen/Parallel.h>

#ifndef _OPENMP
#error "at::parallel_for is serial, without a word, in a file that is compiled without OpenMP"
#endif
#if !AT_PARALLEL_OPENMP
#error "with LibTorch's other thread pool, parts of a parallel_for may wait for each other for ever"
#endif

namespace unroll::cpu {

void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& work) {
  at::parallel_for(begin, end, grain, work);
}

int64_t thread_count() { return at::get_num_threads(); }

}  // namespace unroll::cpu

#include <ATen/Parallel.h>

#include "kernels/cpu/threads.h"

namespace unroll::cpu {

Threads::Threads(int64_t count) : before_(at::get_num_threads()) {
  at::set_num_threads(static_cast<int>(count));
}

Threads::~Threads() { at::set_num_threads(static_cast<int>(before_)); }

}  // namespace unroll::cpu

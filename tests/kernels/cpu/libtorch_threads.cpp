#include <torch/utils.h>

#include "kernels/cpu/threads.h"

namespace unroll::cpu {

Threads::Threads(int64_t count) : before_(torch::get_num_threads()) {
  torch::set_num_threads(static_cast<int>(count));
}

Threads::~Threads() { torch::set_num_threads(static_cast<int>(before_)); }

}  // namespace unroll::cpu

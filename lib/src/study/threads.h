#pragma once

#include <ATen/Parallel.h>

#include <cstdint>

namespace unroll {

/// LibTorch's number of threads while it lives.
class Threads {
 public:
  /// 0: as many as there are.
  explicit Threads(int64_t count) : before_(at::get_num_threads()) {
    if (count > 0) {
      at::set_num_threads(static_cast<int>(count));
    }
  }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace unroll

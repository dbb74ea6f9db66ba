#pragma once

#include <cstdint>

namespace unroll::cpu {

/// How many threads parallel_for uses, while it lives.
class Threads {
 public:
  explicit Threads(int64_t count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int64_t before_;
};

}  // namespace unroll::cpu

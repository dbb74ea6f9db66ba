#pragma once

#include <cstdio>
#include <cstdlib>

namespace unroll {

/// Ends the program, which libFuzzer takes for a crash, unless what must hold does.
inline void require(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
  }
}

/// Counts the inputs that were taken and not refused; the program prints how many at its end. A
/// fuzzer that never has one tests little.
class Taken {
 public:
  ~Taken() { std::fprintf(stderr, "taken: %ld\n", count_); }
  Taken& operator++() {
    ++count_;
    return *this;
  }

 private:
  long count_ = 0;
};

inline Taken taken;

}  // namespace unroll

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

}  // namespace unroll

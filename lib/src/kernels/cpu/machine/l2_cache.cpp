#include "kernels/cpu/machine/l2_cache.h"

#include <unistd.h>

namespace unroll::cpu {
namespace {

int64_t ask_for_l2_cache() {
  constexpr int64_t kUnknown = int64_t{1} << 20;
#ifdef _SC_LEVEL2_CACHE_SIZE
  const int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? bytes : kUnknown;
#else
  return kUnknown;
#endif
}

}  // namespace

int64_t l2_cache_bytes() {
  static const int64_t bytes = ask_for_l2_cache();
  return bytes;
}

}  // namespace unroll::cpu

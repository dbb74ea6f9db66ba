#include "kernels/cpu/caches.h"

#include <unistd.h>

namespace unroll::cpu {
namespace {

int64_t ask_for_own_cache() {
  constexpr int64_t kUsual = int64_t{1} << 20;
#ifdef _SC_LEVEL2_CACHE_SIZE
  const int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? bytes : kUsual;
#else
  return kUsual;
#endif
}

}  // namespace

int64_t own_cache_bytes() {
  static const int64_t bytes = ask_for_own_cache();
  return bytes;
}

}  // namespace unroll::cpu

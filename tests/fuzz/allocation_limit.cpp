#include "allocation_limit.h"

#include <sanitizer/allocator_interface.h>
#include <sanitizer/common_interface_defs.h>

#include <cstdio>
#include <cstdlib>

namespace unroll {
namespace {

struct Count {
  bool on = false;
  std::size_t most_at_once = 0;
  std::ptrdiff_t most_live = 0;
  std::ptrdiff_t live = 0;
};

thread_local Count count;

void stop(const char* what, std::size_t bytes, std::size_t most) {
  count.on = false;
  std::fprintf(stderr, "%s %zu bytes, the input is worth %zu\n", what, bytes, most);
  __sanitizer_print_stack_trace();
  std::abort();
}

void on_malloc(const volatile void* /*block*/, std::size_t size) {
  if (!count.on) {
    return;
  }
  count.live += static_cast<std::ptrdiff_t>(size);
  if (size > count.most_at_once) {
    stop("an allocation takes", size, count.most_at_once);
  }
  if (count.live > count.most_live) {
    stop("all allocations take", static_cast<std::size_t>(count.live),
         static_cast<std::size_t>(count.most_live));
  }
}

void on_free(const volatile void* block) {
  if (count.on && block != nullptr) {
    count.live -=
        static_cast<std::ptrdiff_t>(__sanitizer_get_allocated_size(const_cast<const void*>(block)));
  }
}

}  // namespace

AllocationLimit::AllocationLimit(std::size_t input_bytes, Multiples multiples) {
  [[maybe_unused]] static const int installed =
      __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  count = {.on = true,
           .most_at_once = multiples.largest * input_bytes + kLeast,
           .most_live = static_cast<std::ptrdiff_t>(multiples.live * input_bytes + kLeast)};
}

AllocationLimit::~AllocationLimit() { count.on = false; }

}  // namespace unroll

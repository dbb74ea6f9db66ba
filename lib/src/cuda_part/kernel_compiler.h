#pragma once

#include <functional>
#include <string>

#include "cuda_part/compiled_kernel.h"
#include "cuda_part/kernel_cache.h"

namespace unroll {

/// Takes kernels from the cache, or compiles them and keeps them there. What is wrong with the
/// cache costs the time to compile, no more: `notice` is called once. Throws Error as Nvrtc does.
CompileKernel caching_compiler(KernelCache cache, std::function<void(const std::string&)> notice);

}  // namespace unroll

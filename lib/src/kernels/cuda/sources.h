#pragma once

#include <span>
#include <string_view>

namespace unroll {

/// A file of the kernels' sources, as their #include names it.
struct KernelSource {
  // A NUL follows each.
  std::string_view name;
  std::string_view text;
};

/// Those that kernels.h takes, embedded where the library is built.
std::span<const KernelSource> kernel_sources();

}  // namespace unroll

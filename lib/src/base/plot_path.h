#pragma once

#include <filesystem>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

/// Throws UsageError unless the path ends in .svg or .png.
inline void check_plot_path(const std::filesystem::path& path) {
  if (path.extension() != ".svg" && path.extension() != ".png") {
    throw UsageError(formatted("plot must end in .svg or .png, got '{}'", path.string()));
  }
}

}  // namespace unroll

#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/options.h"

namespace unroll::app {

/// Throws UsageError, naming both, when a file of this option is one of `others`.
void check_apart(const Options& options, const std::string& name,
                 const std::vector<std::filesystem::path>& others);

/// Throws UsageError, naming both, when two of these options name the same file.
void check_distinct_files(const Options& options, const std::vector<std::string>& names);

}  // namespace unroll::app

#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"

namespace unroll::app {

/// Throws UsageError, naming the option and the file, when a file of it is one of `others`, of
/// which `clause` says what they are: `where a checkpoint is to be saved`.
void check_apart(const Options& options, const std::string& name,
                 const std::vector<std::filesystem::path>& others, std::string_view clause);

/// Throws UsageError, naming both, when two of these options name the same file.
void check_distinct_files(const Options& options, const std::vector<std::string>& names);

}  // namespace unroll::app

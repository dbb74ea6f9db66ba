#include "cli/output_files.h"

#include <system_error>

#include "base/formatted.h"
#include "cli/texts.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

// Whether both lead to one file, there already or not.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  namespace fs = std::filesystem;
  std::error_code error;
  return fs::weakly_canonical(fs::absolute(a), error) ==
             fs::weakly_canonical(fs::absolute(b), error) ||
         fs::equivalent(a, b, error);
}

// The files that an option names.
std::vector<std::filesystem::path> files_of(const Options& options, const std::string& name) {
  if (name == "index" && options.has(name)) {
    return {*read_index_path(options)};
  }
  return options.has(name) ? options.paths(name) : std::vector<std::filesystem::path>{};
}

}  // namespace

void check_apart(const Options& options, const std::string& name,
                 const std::vector<std::filesystem::path>& others, std::string_view clause) {
  for (const auto& file : files_of(options, name)) {
    for (const auto& other : others) {
      if (file != kStandardInput && same_file(file, other)) {
        throw UsageError(formatted("--{} must not name '{}', {}", name, file.string(), clause));
      }
    }
  }
}

void check_distinct_files(const Options& options, const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (std::size_t j = i + 1; j < names.size(); ++j) {
      for (const auto& one : files_of(options, names[i])) {
        for (const auto& other : files_of(options, names[j])) {
          const bool is_stream = names[i] == "text" && one == kStandardInput;
          if (!is_stream && same_file(one, other)) {
            throw UsageError(formatted("--{} and --{} must name two files, got '{}' for both",
                                       names[i], names[j], other.string()));
          }
        }
      }
    }
  }
}

}  // namespace unroll::app

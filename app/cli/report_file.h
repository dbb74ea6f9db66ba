#pragma once

#include <string>
#include <utility>

#include "cli/options.h"
#include "page/page.h"
#include "unroll/notebook.h"

namespace unroll::app {

/// --report, in the group that is declared last.
void add_report_option(Options& options);

/// Where --report is written; empty if it is not given. Throws UsageError if it names no file.
std::string report_path(const Options& options);

/// Replaces the page as a whole, so that a browser never reads half of one. Throws Error, naming
/// the path.
void write_report(const std::string& path, const std::string& html);

/// A page that is written anew while what it shows goes on, every three seconds at most.
class LivePage {
 public:
  explicit LivePage(std::string path) : path_(std::move(path)) {}

  /// Whether the last writing was long enough ago.
  bool is_due() const;

  /// Replaces it. Throws Error, naming the path.
  void write(const std::string& html);

 private:
  std::string path_;
  Timer since_written_;
};

/// `2026-11-29 12:00:00 UTC`
std::string now_in_utc();

/// The command line and what computed it. `device` is as `describe` names it.
Provenance provenance_of(const Options& options, const std::string& device);

}  // namespace unroll::app

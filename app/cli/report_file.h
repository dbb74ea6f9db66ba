#pragma once

#include <string>
#include <utility>

#include "cli/options.h"
#include "cli/progress.h"
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

/// A page that is written anew while a training goes on, every three seconds at most. A training is
/// not worth ending for it: once it cannot be written, one line on stderr says so, and the page is
/// written at the end alone.
class LivePage {
 public:
  /// A failure removes the progress line before it is reported.
  LivePage(std::string path, Progress& progress) : path_(std::move(path)), progress_(progress) {}

  /// Whether the last writing went well and was long enough ago.
  bool is_due() const;

  /// Replaces it while the training goes on.
  void update(const std::string& html);

  /// Replaces it at the end. Throws Error, naming the path.
  void write(const std::string& html) { write_report(path_, html); }

  /// Replaces it when the training ends early, which is then the failure to report.
  void stop(const std::string& html);

 private:
  std::string path_;
  Progress& progress_;
  Timer since_written_;
  bool has_failed_ = false;
};

/// `2026-11-29 12:00:00 UTC`
std::string now_in_utc();

/// The command line and what computed it. `device` is as `describe` names it.
Provenance provenance_of(const Options& options, const std::string& device);

}  // namespace unroll::app

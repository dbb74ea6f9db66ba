#pragma once

#include <string>

#include "cli/progress.h"
#include "unroll/notebook.h"

namespace unroll::app {

/// A page that is written anew while a training goes on, every three seconds at most. A training is
/// not worth ending for it: once it cannot be written, one line on stderr says so, and the page is
/// written at the end alone.
class LivePage {
 public:
  /// From here on a reader of the standard output that goes away does not end the program, which
  /// would leave a page that promises more. A failure removes the progress line before it is
  /// reported.
  LivePage(std::string path, Progress& progress);

  /// Whether the last writing went well and was long enough ago.
  bool is_due() const;

  /// Replaces it while the training goes on.
  void update(const std::string& html);

  /// Replaces it at the end. Throws Error, naming the path.
  void write(const std::string& html);

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

}  // namespace unroll::app

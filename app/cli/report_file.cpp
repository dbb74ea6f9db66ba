#include "cli/report_file.h"

#include <ATen/Parallel.h>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "unroll/checkpoint.h"

namespace unroll::app {

void add_report_option(Options& options) {
  options.value("report", "write a page with plots and tables, for a browser", "FILE.html");
}

std::string report_path(const Options& options) {
  return options.has("report") ? options.path("report") : "";
}

void check_report_writable(const Options& options) {
  if (const auto path = report_path(options); !path.empty()) {
    check_writable(path);
  }
}

void write_report(const std::string& path, const std::string& html) {
  AtomicFile file(path);
  file.write(html.data(), html.size());
  file.commit();
}

Provenance provenance_of(const Options& options, const std::string& device) {
  return {.command = options.command_line(),
          .build = formatted("unroll {}, {}", UNROLL_VERSION, build_of_this()),
          .machine = formatted("{} with {}", device, counted(at::get_num_threads(), "thread"))};
}

}  // namespace unroll::app

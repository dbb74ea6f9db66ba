#include "cli/report_file.h"

#include <ATen/Parallel.h>

#include <array>
#include <chrono>
#include <ctime>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "cli/attempt.h"
#include "unroll/checkpoint.h"

namespace unroll::app {

void add_report_option(Options& options) {
  options.value("report", "write a page with plots and tables, for a browser", "FILE.html");
}

std::string report_path(const Options& options) {
  return options.has("report") ? options.path("report") : "";
}

void write_report(const std::string& path, const std::string& html) {
  AtomicFile file(path);
  file.write(html.data(), html.size());
  file.commit();
}

bool LivePage::is_due() const {
  constexpr double kSecondsBetween = 3;
  return !has_failed_ && since_written_.stop() >= kSecondsBetween;
}

void LivePage::update(const std::string& html) {
  has_failed_ = !attempt(progress_, "the training continues", [&] { write(html); });
  since_written_.start();
}

void LivePage::stop(const std::string& html) {
  attempt(progress_, "its end is missing", [&] { write(html); });
}

std::string now_in_utc() {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text.data();
}

Provenance provenance_of(const Options& options, const std::string& device) {
  return {.command = options.command_line(),
          .build = formatted("unroll {}, {}", UNROLL_VERSION, build_of_this()),
          .machine = formatted("{} with {}", device, counted(at::get_num_threads(), "thread"))};
}

}  // namespace unroll::app

#include "cli/live_page.h"

#include <array>
#include <chrono>
#include <ctime>
#include <utility>

#include "cli/attempt.h"
#include "cli/interrupt.h"
#include "cli/report_file.h"

namespace unroll::app {

LivePage::LivePage(std::string path, Progress& progress)
    : path_(std::move(path)), progress_(progress) {
  outlive_readers();
}

bool LivePage::is_due() const {
  constexpr double kSecondsBetween = 3;
  return !has_failed_ && since_written_.stop() >= kSecondsBetween;
}

void LivePage::update(const std::string& html) {
  has_failed_ = !attempt(progress_, "the training continues", [&] { write(html); });
  since_written_.start();
}

void LivePage::write(const std::string& html) { write_report(path_, html); }

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

}  // namespace unroll::app

#include "cli/train_page_file.h"

#include <array>
#include <chrono>
#include <ctime>
#include <utility>

#include "cli/report_file.h"

namespace unroll::app {

TrainPageFile::TrainPageFile(std::string path, TrainPage page)
    : path_(std::move(path)), page_(std::move(page)) {
  write();
}

void TrainPageFile::write(const EpochStats& stats) {
  constexpr double kSecondsBetween = 3;
  page_.report.result.epochs.push_back(stats);
  if (since_written_.stop() >= kSecondsBetween) {
    write();
    since_written_.start();
  }
}

void TrainPageFile::write_sample(const EpochStats& stats, const std::string& text) {
  page_.samples.push_back({stats.epoch, text});
}

void TrainPageFile::finish(const TrainResult& result, std::string inspection) {
  page_.report.result = result;
  page_.inspection = std::move(inspection);
  page_.status = TrainPage::Status::kEnded;
  write();
}

void TrainPageFile::stop(const std::string& problem) {
  page_.status = TrainPage::Status::kStopped;
  page_.problem = problem;
  write();
}

void TrainPageFile::write() {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &utc);
  page_.written_at = text.data();
  write_report(path_, to_html(page_));
}

}  // namespace unroll::app

#include "cli/train_page_file.h"

#include <utility>

namespace unroll::app {

TrainPageFile::TrainPageFile(std::string path, TrainPage page, Progress& progress)
    : file_(std::move(path), progress), page_(std::move(page)) {
  file_.write(html());
}

void TrainPageFile::write(const EpochStats& stats) {
  page_.report.result.epochs.push_back(stats);
  if (file_.is_due()) {
    file_.update(html());
  }
}

void TrainPageFile::write_sample(const EpochStats& stats, const std::string& text) {
  page_.samples.push_back({stats.epoch, text});
}

void TrainPageFile::finish(const TrainResult& result, std::string inspection) {
  page_.report.result = result;
  page_.inspection = std::move(inspection);
  page_.status = TrainPage::Status::kEnded;
  file_.write(html());
}

void TrainPageFile::stop(const std::string& problem) {
  page_.status = TrainPage::Status::kStopped;
  page_.problem = problem;
  file_.stop(html());
}

std::string TrainPageFile::html() {
  page_.written_at = now_in_utc();
  return to_html(page_);
}

}  // namespace unroll::app

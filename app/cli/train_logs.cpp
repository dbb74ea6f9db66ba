#include "cli/train_logs.h"

#include <string_view>
#include <utility>

#include "cli/attempt.h"
#include "cli/report_file.h"

namespace unroll::app {
namespace {

// Does something to a log that is open, which it is no more once that fails.
template <typename Log, typename Work>
void attempt(Progress& progress, std::optional<Log>& log, const Work& work,
             std::string_view consequence = "the training continues without it") {
  if (log && !attempt(progress, consequence, [&] { work(*log); })) {
    log.reset();
  }
}

}  // namespace

void TrainLogs::open(const Options& options, const std::vector<EpochStats>& history,
                     TrainPage page) {
  check_report_writable(options);
  if (options.has("tensorboard")) {
    tensorboard_.emplace(options.path("tensorboard"), history);
  }
  if (options.has("log")) {  // the last, as it empties a file
    log_.emplace(options.path("log"), history);
  }
  if (const auto report = report_path(options); !report.empty()) {  // it replaces a page
    page.report.result.epochs = history;
    page.resumed_after = static_cast<int64_t>(history.size());
    page_.emplace(report, std::move(page), progress_);
  }
}

void TrainLogs::write(const EpochStats& stats) {
  const auto write = [&](auto& log) { log.write(stats); };
  attempt(progress_, log_, write);
  attempt(progress_, tensorboard_, write);
  if (page_) {
    page_->write(stats);
  }
}

void TrainLogs::write_sample(const EpochStats& stats, const std::string& text) {
  attempt(progress_, tensorboard_, [&](auto& log) { log.write_sample(stats, text); });
  if (page_) {
    page_->write_sample(stats, text);
  }
}

void TrainLogs::finish(const TrainResult& result, const std::string& inspection) {
  attempt(
      progress_, tensorboard_, [&](auto& log) { log.write_samples(result); }, "its end is missing");
  if (page_) {
    page_->finish(result, inspection);
  }
}

void TrainLogs::stop(const std::string& problem) {
  if (page_) {
    page_->stop(problem);
  }
}

void TrainLogs::sync() {
  const auto sync = [](auto& log) { log.sync(); };
  attempt(progress_, log_, sync);
  attempt(progress_, tensorboard_, sync);
}

}  // namespace unroll::app

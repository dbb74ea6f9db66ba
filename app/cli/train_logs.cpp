#include "cli/train_logs.h"

#include "cli/attempt.h"

namespace unroll::app {
namespace {

// Does something to a log that is open, which it is no more once that fails.
template <typename Log, typename Work>
void attempt(Progress& progress, std::optional<Log>& log, const Work& work) {
  if (log && !attempt(progress, "the training continues without it", [&] { work(*log); })) {
    log.reset();
  }
}

}  // namespace

void TrainLogs::open(const Options& options, const std::vector<EpochStats>& history) {
  if (options.has("tensorboard")) {
    tensorboard_.emplace(options.path("tensorboard"), history);
  }
  if (options.has("log")) {  // the last, as it empties a file
    log_.emplace(options.path("log"), history);
  }
}

void TrainLogs::write(const EpochStats& stats) {
  const auto write = [&](auto& log) { log.write(stats); };
  attempt(progress_, log_, write);
  attempt(progress_, tensorboard_, write);
}

void TrainLogs::write_sample(const EpochStats& stats, const std::string& text) {
  attempt(progress_, tensorboard_, [&](auto& log) { log.write_sample(stats, text); });
}

void TrainLogs::write_samples(const TrainResult& result) {
  attempt(progress_, tensorboard_, [&](auto& log) { log.write_samples(result); });
}

void TrainLogs::sync() {
  const auto sync = [](auto& log) { log.sync(); };
  attempt(progress_, log_, sync);
  attempt(progress_, tensorboard_, sync);
}

}  // namespace unroll::app

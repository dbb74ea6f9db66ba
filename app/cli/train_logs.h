#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/progress.h"
#include "cli/train_page_file.h"
#include "report/tensorboard_log.h"
#include "report/train_log.h"
#include "unroll/train.h"

namespace unroll::app {

/// The logs that --log, --tensorboard and --report ask for. A training is not worth ending for
/// them: once one cannot be written, one line on stderr says so, and the training continues without
/// it; the page is tried again at the end.
class TrainLogs {
 public:
  /// A failure removes the progress line before it is reported.
  explicit TrainLogs(Progress& progress) : progress_(progress) {}

  /// Opens them for a training that continues after `history`; a new one begins them anew. `page`
  /// is all that the report shows but the training. Throws Error, naming the path, when one cannot
  /// be written.
  void open(const Options& options, const std::vector<EpochStats>& history, TrainPage page);

  /// Adds an epoch.
  void write(const EpochStats& stats);

  /// Adds the first prompt continued, after an epoch.
  void write_sample(const EpochStats& stats, const std::string& text);

  /// Whether there is a page, which shows what the trained model does.
  bool has_page() const { return page_.has_value(); }

  /// Ends them: all prompts continued, and for the page what the trained model does, in HTML.
  /// Throws Error, naming the path, when the page cannot be written.
  void finish(const TrainResult& result, const std::string& inspection);

  /// Ends them before the last epoch.
  void stop(const std::string& problem);

  /// Waits until all is on the disk, so that a checkpoint that is written next is not ahead.
  void sync();

 private:
  Progress& progress_;
  std::optional<TrainLog> log_;
  std::optional<TensorBoardLog> tensorboard_;
  std::optional<TrainPageFile> page_;
};

}  // namespace unroll::app

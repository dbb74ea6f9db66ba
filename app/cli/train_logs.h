#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/progress.h"
#include "report/tensorboard_log.h"
#include "report/train_log.h"
#include "unroll/train.h"

namespace unroll::app {

/// The logs that --log and --tensorboard ask for. A training is not worth ending for them: once one
/// cannot be written, one line on stderr says so, and the training continues without it.
class TrainLogs {
 public:
  /// A failure removes the progress line before it is reported.
  explicit TrainLogs(Progress& progress) : progress_(progress) {}

  /// Opens them for a training that continues after `history`; a new one begins them anew. Throws
  /// Error, naming the path, when one cannot be written.
  void open(const Options& options, const std::vector<EpochStats>& history);

  /// Adds an epoch.
  void write(const EpochStats& stats);

  /// Adds the first prompt continued, after an epoch.
  void write_sample(const EpochStats& stats, const std::string& text);

  /// Adds all prompts continued, at the end.
  void write_samples(const TrainResult& result);

  /// Waits until all is on the disk, so that a checkpoint that is written next is not ahead.
  void sync();

 private:
  Progress& progress_;
  std::optional<TrainLog> log_;
  std::optional<TensorBoardLog> tensorboard_;
};

}  // namespace unroll::app

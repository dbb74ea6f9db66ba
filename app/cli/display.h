#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/plot.h"
#include "cli/progress.h"
#include "report/train_report.h"
#include "unroll/train.h"

namespace unroll::app {

/// What train shows: progress and warnings on stderr, predictions and the result on stdout, the
/// plot. If nobody reads a line, main reports that at the end: no training ends for it.
class Display {
 public:
  /// `is_silent`: nothing at all, as of a rank beside the one that shows.
  Display(const Options& options, const TrainOptions& training, bool is_silent);

  Progress& progress() { return progress_; }

  /// Throws Error when the plot cannot be written where it is to be.
  void check_plot() const;

  /// A resumed training's epochs, which are over.
  void show(const std::vector<EpochStats>& history);
  void show(const TrainProgress& at, int64_t batches) { progress_.show(at, batches); }
  void show(const EpochStats& stats);
  void show(const std::string& prediction);
  void show(const TrainReport& report);

  /// A line on stderr, unless --quiet.
  void note(const std::string& line);

  /// The same for what may surprise, as `unroll: MESSAGE`.
  void warn(const std::string& message);

 private:
  void add_point(const EpochStats& stats);

  bool silent_;
  bool quiet_;
  bool json_;
  int64_t epochs_;
  int64_t plot_stride_;
  Progress progress_;
  std::optional<Plot> plot_;
  std::string plot_path_;
};

}  // namespace unroll::app

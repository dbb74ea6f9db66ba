#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/progress.h"
#include "unroll/notebook.h"
#include "unroll/train.h"

namespace unroll::app {

/// The plot that --plot asks for, or nothing once it could not be drawn: one line on stderr says
/// why, and the training is not lost.
class Plot {
 public:
  /// `path` as check_plot_path wants it, or `-` for a text plot at the end.
  /// A failure removes the progress line before it is reported.
  Plot(const std::string& path, PlotOptions options, Progress& progress);

  /// Adds an epoch's perplexity to a curve.
  void add(const EpochStats& stats, std::size_t curve = 0);

  /// Draws all points; the text plot goes to stdout.
  void finish();

 private:
  void draw(const std::function<void()>& work);

  Progress& progress_;
  std::optional<Animator> animator_;
  bool text_;
  bool failed_ = false;
};

}  // namespace unroll::app

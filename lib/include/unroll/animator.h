#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "unroll/timer.h"

namespace unroll {

/// How a plot looks.
struct PlotOptions {
  std::string xlabel = "epoch";
  std::string ylabel = "perplexity";
  std::vector<std::string> legend = {"train"};  ///< one curve each
  double xmin = 0;                              ///< left end of the x axis
  double xmax = 0;                              ///< right end; 0 follows the points
  double redraw_seconds = 2;                    ///< time between two drawings
};

/// A plot that grows while training runs, as the notebook's `Animator`; drawn by gnuplot.
class Animator {
 public:
  /// Draws into `path`, SVG or PNG by its ending; an empty path draws only text().
  /// Throws UsageError for another ending, Error when gnuplot cannot be run.
  Animator(std::filesystem::path path, PlotOptions options);

  /// Adds a point to curve `curve` and redraws the file unless it was drawn just before.
  void add(double x, double y, std::size_t curve = 0);

  /// Draws the file with all points. The file is replaced at once: a viewer never sees half.
  void draw();

  /// The plot as lines of characters.
  std::string text(int columns = 72, int rows = 20) const;

 private:
  std::string script(const std::string& terminal, const std::filesystem::path& output) const;

  std::filesystem::path path_;
  PlotOptions options_;
  std::vector<std::vector<std::pair<double, double>>> curves_;
  Timer since_drawn_;
  bool drawn_ = false;
};

/// Throws UsageError unless the path ends in .svg or .png.
void check_plot_path(const std::filesystem::path& path);

}  // namespace unroll

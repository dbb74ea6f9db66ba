#pragma once

#include "page/chart.h"
#include "page/ticks.h"

namespace unroll {

/// A plot's size, and what is left around it for the axes' numbers; in the image's own units.
struct Frame {
  static constexpr double kWidth = 400;
  static constexpr double kHeight = 250;
  static constexpr double kLeft = 58;
  static constexpr double kRight = 10;
  static constexpr double kTop = 8;
  static constexpr double kBottom = 38;
  static constexpr double kPlotWidth = kWidth - kLeft - kRight;
  static constexpr double kPlotHeight = kHeight - kTop - kBottom;
};

/// Where a chart's values lie in its image.
class Axes {
 public:
  explicit Axes(const Chart& chart);

  /// Whether there is no finite value.
  bool is_empty() const { return y_.is_empty(); }
  bool is_log() const { return log_y_; }
  const Range& x() const { return x_; }
  const Range& y() const { return y_; }
  double left_of(double x) const;
  double top_of(double y) const;

 private:
  void make_equal();

  bool log_y_;
  Range x_;
  Range y_;
};

}  // namespace unroll

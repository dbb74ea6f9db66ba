#include "page/axes.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace unroll {
namespace {

void widen(Range& range, double share) {
  // As good as flat: rounding alone would be seen.
  const double largest = std::max(std::abs(range.low), std::abs(range.high));
  if (range.size() <= 1e-9 * largest) {
    const double half = largest == 0 ? 1 : 0.1 * largest;
    range = {range.low - half, range.high + half};
    return;
  }
  const double more = share * range.size();
  range = {range.low == 0 ? 0 : range.low - more, range.high + more};
}

}  // namespace

Axes::Axes(const Chart& chart) : log_y_(chart.log_y) {
  for (const auto& series : chart.series) {
    for (std::size_t k = 0; k < series.x.size(); ++k) {
      if (std::isfinite(series.y[k])) {
        x_.include(series.x[k]);
        y_.include(series.y[k]);
      }
    }
  }
  if (y_.is_empty()) {
    return;
  }
  if (chart.limit) {
    y_.include(chart.limit->y);
  }
  if (chart.unit_circle) {
    for (const double edge : {-1.0, 1.0}) {
      x_.include(edge);
      y_.include(edge);
    }
  }
  log_y_ = log_y_ && y_.low > 0;
  if (!log_y_ && y_.low > 0 && y_.low < 0.6 * y_.high) {
    y_.low = 0;  // so that heights can be compared
  }
  widen(x_, chart.kind == Chart::Kind::kPoints ? 0.05 : 0);
  if (log_y_) {
    y_ = {y_.low / 1.08, y_.high * 1.08};
  } else {
    widen(y_, 0.05);
  }
  if (chart.equal_axes) {
    make_equal();
  }
}

double Axes::left_of(double x) const {
  return Frame::kLeft + Frame::kPlotWidth * (x - x_.low) / x_.size();
}

double Axes::top_of(double y) const {
  const double share =
      log_y_ ? std::log(y / y_.low) / std::log(y_.high / y_.low) : (y - y_.low) / y_.size();
  return Frame::kTop + Frame::kPlotHeight * (1 - share);
}

void Axes::make_equal() {
  const double unit = std::max(x_.size() / Frame::kPlotWidth, y_.size() / Frame::kPlotHeight);
  for (const auto& [range, size] :
       {std::pair(&x_, Frame::kPlotWidth), std::pair(&y_, Frame::kPlotHeight)}) {
    const double middle = (range->low + range->high) / 2;
    *range = {middle - unit * size / 2, middle + unit * size / 2};
  }
}

}  // namespace unroll

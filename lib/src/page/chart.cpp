#include "page/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/formatted.h"
#include "page/html.h"
#include "report/json.h"

namespace unroll {
namespace {

// The image's size, and what is left around the plot for the axes' numbers; in its own units.
constexpr double kWidth = 400;
constexpr double kHeight = 250;
constexpr double kLeft = 58;
constexpr double kRight = 10;
constexpr double kTop = 8;
constexpr double kBottom = 38;
constexpr double kPlotWidth = kWidth - kLeft - kRight;
constexpr double kPlotHeight = kHeight - kTop - kBottom;

// More points than this on one curve can not be told apart.
constexpr std::size_t kMostPoints = 1000;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    if (std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  bool is_empty() const { return low > high; }
  double size() const { return high - low; }
};

// Evenly spaced round numbers from low to high, not more than `most`: 1, 2 or 5 times a power of
// ten apart, or whole numbers alone.
std::vector<double> linear_ticks(const Range& range, int most, bool whole = false) {
  const double least_step = std::max(range.size() / most, whole ? 1 : 0.0);
  const double power = std::pow(10, std::floor(std::log10(least_step)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least_step * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::ceil(range.low / step - 1e-9);
  for (int k = 0; k <= most && (first + k) * step <= range.high + 1e-9 * step; ++k) {
    ticks.push_back((first + k) * step + 0.0);  // without -0
  }
  return ticks;
}

// Round numbers times the powers of ten in a range; of many powers every second, third and so on.
std::vector<double> log_ticks(const Range& range) {
  constexpr int kMost = 7;
  const double ratio = range.high / range.low;
  if (ratio < 2) {
    return linear_ticks(range, 6);
  }
  std::vector<double> factors{1};
  if (ratio < 1000) {
    factors = ratio < 30 ? std::vector<double>{1, 1.5, 2, 3, 5, 7} : std::vector<double>{1, 2, 5};
  }
  const int first = static_cast<int>(std::floor(std::log10(range.low)));
  const int last = static_cast<int>(std::floor(std::log10(range.high)));
  const int stride = (last - first) / kMost + 1;
  std::vector<double> ticks;
  // From a multiple of the stride, so that 1 is one of them.
  for (int e = first - (first % stride + stride) % stride; e <= last; e += stride) {
    for (const double factor : factors) {
      const double tick = factor * std::pow(10, e);
      if (tick >= range.low * 0.999 && tick <= range.high * 1.001) {
        ticks.push_back(tick);
      }
    }
  }
  return ticks;
}

// A number on an axis: 250000 -> `250k`.
std::string tick_text(double value) {
  const double size = std::abs(value);
  if (size >= 1e9) {
    return formatted("{:.3g}", value);
  }
  if (size >= 1e6) {
    return formatted("{:.4g}M", value / 1e6);
  }
  return size >= 1e4 ? formatted("{:.4g}k", value / 1e3) : formatted("{:.4g}", value);
}

// Every nth point and the last one, where there are too many.
Series thinned(const Series& series) {
  const auto stride = (series.x.size() + kMostPoints - 1) / kMostPoints;
  if (stride <= 1) {
    return series;
  }
  Series thin{.name = series.name, .x = {}, .y = {}};
  for (std::size_t k = 0; k < series.x.size(); ++k) {
    if (k % stride == 0 || k + 1 == series.x.size()) {
      thin.x.push_back(series.x[k]);
      thin.y.push_back(series.y[k]);
    }
  }
  return thin;
}

// Where values lie in the image.
class Axes {
 public:
  explicit Axes(const Chart& chart) : log_y_(chart.log_y) {
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

  bool is_empty() const { return y_.is_empty(); }
  bool is_log() const { return log_y_; }
  const Range& x() const { return x_; }
  const Range& y() const { return y_; }
  double left_of(double x) const { return kLeft + kPlotWidth * (x - x_.low) / x_.size(); }
  double top_of(double y) const {
    const double share =
        log_y_ ? std::log(y / y_.low) / std::log(y_.high / y_.low) : (y - y_.low) / y_.size();
    return kTop + kPlotHeight * (1 - share);
  }

 private:
  static void widen(Range& range, double share) {
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

  void make_equal() {
    const double unit = std::max(x_.size() / kPlotWidth, y_.size() / kPlotHeight);
    for (const auto& [range, size] : {std::pair(&x_, kPlotWidth), std::pair(&y_, kPlotHeight)}) {
      const double middle = (range->low + range->high) / 2;
      *range = {middle - unit * size / 2, middle + unit * size / 2};
    }
  }

  bool log_y_;
  Range x_;
  Range y_;
};

std::string text_at(double left, double top, std::string_view anchor, const std::string& text) {
  return formatted("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", left, top,
                   anchor, escaped(text));
}

std::string line(std::string_view kind, double x1, double y1, double x2, double y2) {
  return formatted("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                   kind, x1, y1, x2, y2);
}

std::string grid(const Chart& chart, const Axes& axes) {
  constexpr double kRightEnd = kWidth - kRight;
  constexpr double kLowEnd = kHeight - kBottom;
  std::string svg;
  for (const double y : axes.is_log() ? log_ticks(axes.y()) : linear_ticks(axes.y(), 6)) {
    const double top = axes.top_of(y);
    svg +=
        line("grid", kLeft, top, kRightEnd, top) + text_at(kLeft - 5, top + 4, "end", tick_text(y));
  }
  for (const double x : linear_ticks(axes.x(), 7, chart.whole_x)) {
    const double left = axes.left_of(x);
    svg += line("tick", left, kLowEnd, left, kLowEnd + 4) +
           text_at(left, kLowEnd + 16, "middle", tick_text(x));
  }
  svg += line("axis", kLeft, kLowEnd, kRightEnd, kLowEnd);
  svg += text_at(kLeft + kPlotWidth / 2, kHeight - 4, "middle", chart.xlabel);
  svg += formatted(
      "<text transform=\"translate(11 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
      kTop + kPlotHeight / 2, escaped(chart.ylabel));
  if (chart.limit) {
    const double top = axes.top_of(chart.limit->y);
    svg += line("limit", kLeft, top, kRightEnd, top) +
           text_at(kRightEnd - 2, top - 4, "end", chart.limit->name);
  }
  return svg;
}

// On the points, which would hide it.
std::string unit_circle(const Axes& axes) {
  return formatted(
      "<ellipse class=\"limit\" fill=\"none\" cx=\"{:.1f}\" cy=\"{:.1f}\" rx=\"{:.1f}\" "
      "ry=\"{:.1f}\"/>",
      axes.left_of(0), axes.top_of(0), axes.left_of(1) - axes.left_of(0),
      axes.top_of(0) - axes.top_of(1));
}

// The style's classes of the nth of several: six colours, and with the other dashes twelve.
std::string class_of(std::size_t nth) {
  return formatted("series s{}{}", nth % 6 + 1, nth / 6 % 2 == 1 ? " more" : "");
}

// A dot of the nth shape.
std::string dot(std::size_t nth, double left, double top) {
  constexpr std::array kShapes{
      "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0z", "m-2 -2h4v4h-4z",        "m0 -2.6l2.6 4.6h-5.2z",
      "m0 -2.8l2.8 2.8l-2.8 2.8l-2.8 -2.8z", "m0 2.6l2.6 -4.6h-5.2z", "m-0.8 -2.6h1.6v5.2h-1.6z"};
  return formatted("<path class=\"dot\" d=\"M{:.1f} {:.1f}{}\"/>", left, top,
                   kShapes[nth % kShapes.size()]);
}

std::string curve(const Series& series, std::size_t nth, Chart::Kind kind, const Axes& axes) {
  std::string path;
  std::string dots;
  bool pen_is_down = false;
  for (std::size_t k = 0; k < series.x.size(); ++k) {
    if (!std::isfinite(series.y[k]) || (axes.is_log() && series.y[k] <= 0)) {
      pen_is_down = false;
      continue;
    }
    const double left = axes.left_of(series.x[k]);
    const double top = axes.top_of(series.y[k]);
    path += formatted("{}{:.1f} {:.1f}", pen_is_down ? "L" : "M", left, top);
    if (kind == Chart::Kind::kPoints || series.x.size() == 1) {
      dots += dot(nth, left, top);
    }
    pen_is_down = true;
  }
  if (kind == Chart::Kind::kLines) {
    dots += formatted("<path class=\"curve\" d=\"{}\"/>", path);
  }
  return element("g", dots, {{"class", class_of(nth)}});
}

std::string legend(const Chart& chart) {
  if (chart.series.size() < 2) {
    return {};
  }
  std::string items;
  for (std::size_t k = 0; k < chart.series.size(); ++k) {
    const auto sign = chart.kind == Chart::Kind::kPoints
                          ? dot(k, 14, 4)
                          : "<path class=\"curve\" d=\"M0 4L28 4\"/>";
    items += element("li", "<svg viewBox=\"0 0 28 8\" aria-hidden=\"true\">" +
                               element("g", sign, {{"class", class_of(k)}}) + "</svg>" +
                               escaped(chart.series[k].name));
  }
  return element("ul", items, {{"class", "legend"}});
}

Json finite(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) {
    list.push_back(std::isfinite(value) ? Json(value) : Json());
  }
  return list;
}

// What the page's script needs to show values.
std::string values_of(const Chart& chart, const std::vector<Series>& all, const Axes& axes) {
  Json json{{"kind", chart.kind == Chart::Kind::kPoints ? "points" : "lines"},
            {"log", axes.is_log()},
            {"xlabel", chart.xlabel},
            {"ylabel", chart.ylabel},
            {"x", {axes.x().low, axes.x().high}},
            {"y", {axes.y().low, axes.y().high}},
            {"plot", {kLeft, kTop, kPlotWidth, kPlotHeight}},
            {"series", Json::array()}};
  for (const auto& series : all) {
    json["series"].push_back(
        {{"name", series.name}, {"x", finite(series.x)}, {"y", finite(series.y)}});
  }
  return dump(json);
}

// For who does not see it: from where to where each curve goes.
std::string spoken(const Chart& chart) {
  auto text = chart.title;
  for (const auto& series : chart.series) {
    std::optional<std::size_t> first;
    std::size_t last = 0;
    for (std::size_t k = 0; k < series.y.size(); ++k) {
      if (std::isfinite(series.y[k])) {
        first = first.value_or(k);
        last = k;
      }
    }
    if (first && chart.kind == Chart::Kind::kLines) {
      text += formatted("; {} from {:.4g} at {:.4g} to {:.4g} at {:.4g}", series.name,
                        series.y[*first], series.x[*first], series.y[last], series.x[last]);
    }
  }
  return text + ". Arrow keys read the values.";
}

}  // namespace

std::string figure(const Chart& chart) {
  const Axes axes(chart);
  if (axes.is_empty()) {
    return {};
  }
  std::vector<Series> shown;
  auto image = grid(chart, axes);
  for (std::size_t k = 0; k < chart.series.size(); ++k) {
    shown.push_back(thinned(chart.series[k]));
    image += curve(shown.back(), k, chart.kind, axes);
  }
  image += chart.unit_circle ? unit_circle(axes) : "";
  return element(
             "figure",
             element("figcaption", element("b", escaped(chart.title)) +
                                       (chart.about.empty() ? "" : " " + escaped(chart.about))) +
                 element("svg", image,
                         {{"viewBox", formatted("0 0 {} {}", kWidth, kHeight)},
                          {"role", "application"},
                          {"tabindex", "0"},
                          {"aria-label", spoken(chart)},
                          {"data-chart", values_of(chart, shown, axes)}}) +
                 legend(chart) + "<output aria-live=\"polite\">&nbsp;</output>",
             {{"class", "chart"}}) +
         "\n";
}

}  // namespace unroll

#include "page/figure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "base/formatted.h"
#include "page/axes.h"
#include "page/html.h"
#include "page/ticks.h"
#include "report/json.h"

namespace unroll {
namespace {

// More points than this on one curve can not be told apart.
constexpr std::size_t kMostPoints = 1000;

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

std::string text_at(double left, double top, std::string_view anchor, const std::string& text) {
  return formatted("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", left, top,
                   anchor, escaped(text));
}

std::string line(std::string_view kind, double x1, double y1, double x2, double y2) {
  return formatted("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                   kind, x1, y1, x2, y2);
}

std::string grid(const Chart& chart, const Axes& axes) {
  constexpr double kRightEnd = Frame::kWidth - Frame::kRight;
  constexpr double kLowEnd = Frame::kHeight - Frame::kBottom;
  std::string svg;
  for (const double y : axes.is_log() ? log_ticks(axes.y()) : linear_ticks(axes.y(), 6)) {
    const double top = axes.top_of(y);
    svg += line("grid", Frame::kLeft, top, kRightEnd, top) +
           text_at(Frame::kLeft - 5, top + 4, "end", tick_text(y, axes.y()));
  }
  for (const double x : linear_ticks(axes.x(), 7, chart.whole_x)) {
    const double left = axes.left_of(x);
    svg += line("tick", left, kLowEnd, left, kLowEnd + 4) +
           text_at(left, kLowEnd + 16, "middle", tick_text(x, axes.x()));
  }
  svg += line("axis", Frame::kLeft, kLowEnd, kRightEnd, kLowEnd);
  svg += text_at(Frame::kLeft + Frame::kPlotWidth / 2, Frame::kHeight - 4, "middle", chart.xlabel);
  svg += formatted(
      "<text transform=\"translate(11 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
      Frame::kTop + Frame::kPlotHeight / 2, escaped(chart.ylabel));
  if (chart.limit) {
    const double top = axes.top_of(chart.limit->y);
    svg += line("limit", Frame::kLeft, top, kRightEnd, top) +
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
            {"plot", {Frame::kLeft, Frame::kTop, Frame::kPlotWidth, Frame::kPlotHeight}},
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
                         {{"viewBox", formatted("0 0 {} {}", Frame::kWidth, Frame::kHeight)},
                          {"role", "application"},
                          {"tabindex", "0"},
                          {"aria-label", spoken(chart)},
                          {"data-chart", values_of(chart, shown, axes)}}) +
                 legend(chart) + "<output aria-live=\"polite\">&nbsp;</output>",
             {{"class", "chart"}}) +
         "\n";
}

}  // namespace unroll

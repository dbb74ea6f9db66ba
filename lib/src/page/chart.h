#pragma once

#include <optional>
#include <string>
#include <vector>

namespace unroll {

/// Points of a curve; a gap where y is not finite.
struct Series {
  std::string name = {};
  std::vector<double> x = {};
  std::vector<double> y = {};
};

/// A plot for a page. Its values are shown under the pointer, and by the arrow keys once it has the
/// focus. Twelve curves differ in colours that colour-blind readers can tell apart and in
/// dashes, points in colours and shapes.
struct Chart {
  enum class Kind { kLines, kPoints };
  struct Limit {
    std::string name = {};
    double y = 0;
  };

  std::string title = {};
  std::string about = {};  ///< a sentence on what it shows
  std::string xlabel = {};
  std::string ylabel = {};
  Kind kind = Kind::kLines;
  bool log_y = false;               ///< only if all values are positive
  bool whole_x = false;             ///< ticks at whole numbers alone
  bool equal_axes = false;          ///< one unit is as long in both directions
  bool unit_circle = false;         ///< a circle around (0,0)
  std::optional<Limit> limit = {};  ///< a horizontal line
  std::vector<Series> series = {};
};

}  // namespace unroll

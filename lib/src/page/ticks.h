#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace unroll {

/// From the least to the largest of some numbers; empty of none.
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

/// Evenly spaced round numbers in a range, about `most` of them at the most: 1, 2 or 5 times a
/// power of ten apart, or whole numbers alone.
std::vector<double> linear_ticks(const Range& range, int most, bool whole = false);

/// Round numbers times the powers of ten in a range of positive numbers; of many powers every
/// second, third and so on.
std::vector<double> log_ticks(const Range& range);

/// A number on an axis of this range: 250000 -> `250k`, and `2.5e+05` beside a billion.
std::string tick_text(double value, const Range& range);

}  // namespace unroll

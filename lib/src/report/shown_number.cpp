#include "report/shown_number.h"

#include <cmath>

#include "base/formatted.h"

namespace unroll {

std::string shown_number(double value, int digits) {
  constexpr double kMostInFull = 1e9;
  if (!std::isfinite(value)) {
    return "-";
  }
  return std::abs(value) < kMostInFull ? formatted("{:.{}f}", value, digits)
                                       : formatted("{:.2e}", value);
}

std::string shown_spread(const Spread& spread, std::size_t count, int digits) {
  const auto mean = shown_number(spread.mean, digits);
  return count > 1 ? formatted("{} ± {}", mean, shown_number(spread.deviation, digits)) : mean;
}

}  // namespace unroll

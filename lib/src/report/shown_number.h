#pragma once

#include <cstddef>
#include <string>

#include "unroll/study.h"

namespace unroll {

/// A number with so many digits after the point, or, beyond a billion, as `1.23e+104`; `-` if it is
/// not finite.
std::string shown_number(double value, int digits);

/// The mean of so many values, and their deviation if there is more than one: `1.25 ± 0.03`.
std::string shown_spread(const Spread& spread, std::size_t count, int digits);

}  // namespace unroll

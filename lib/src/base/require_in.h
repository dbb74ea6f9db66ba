#pragma once

#include <cstdint>
#include <string_view>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

/// Throws UsageError unless least <= value <= most: `hidden must be >= 1, got 0`.
inline void require_in(std::string_view what, int64_t value, int64_t least, int64_t most) {
  if (value < least) {
    throw UsageError(formatted("{} must be >= {}, got {}", what, least, value));
  }
  if (value > most) {
    throw UsageError(formatted("{} must be <= {}, got {}", what, most, value));
  }
}

}  // namespace unroll

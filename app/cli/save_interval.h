#pragma once

#include <cstdint>
#include <string_view>

namespace unroll::app {

/// How often a training is saved while it runs; both 0: only at its end.
struct SaveInterval {
  int64_t epochs = 0;  ///< between two checkpoints
  double minutes = 0;  ///< the same, by the clock
};

/// `10`, `10 epochs`, `5 minutes`, `5m`; throws UsageError otherwise.
SaveInterval parse_save_interval(std::string_view text);

}  // namespace unroll::app

#include "cli/save_interval.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll::app {

SaveInterval parse_save_interval(std::string_view text) {
  const auto fail = [&] {
    throw UsageError(
        formatted("save-every must be like 10 (epochs) or '5 minutes', above 0, got '{}'", text));
  };
  double number = 0;
  const auto* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  std::string_view unit(at, static_cast<std::size_t>(end - at));
  unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
  if (error != std::errc{} || !std::isfinite(number) || number <= 0) {
    fail();
  }
  if (unit == "m" || unit == "minute" || unit == "minutes") {
    return {.epochs = 0, .minutes = number};
  }
  constexpr double kMostEpochs = 1e15;
  if ((!unit.empty() && unit != "epoch" && unit != "epochs") || number != std::floor(number) ||
      number > kMostEpochs) {
    fail();
  }
  return {.epochs = static_cast<int64_t>(number), .minutes = 0};
}

}  // namespace unroll::app

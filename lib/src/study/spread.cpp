#include "study/spread.h"

#include <cmath>
#include <limits>

#include "base/median.h"

namespace unroll {

Spread spread_of(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  Spread spread;
  for (const double value : values) {
    spread.mean += value / count;
  }
  double squares = 0;
  for (const double value : values) {
    squares += (value - spread.mean) * (value - spread.mean);
  }
  spread.deviation = values.size() > 1 ? std::sqrt(squares / (count - 1)) : 0;
  return spread;
}

Spread perplexity_of(const std::vector<TrainResult>& trainings, bool has_diverged) {
  if (has_diverged) {
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    return {kNaN, kNaN};
  }
  std::vector<double> values;
  for (const auto& training : trainings) {
    values.push_back(training.perplexity());
  }
  return spread_of(values);
}

double speed_of(const std::vector<TrainResult>& trainings) {
  std::vector<double> values;
  for (const auto& training : trainings) {
    values.push_back(training.tokens_per_second());
  }
  return median(values);
}

}  // namespace unroll

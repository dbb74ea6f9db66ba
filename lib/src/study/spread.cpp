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

double StudiedTraining::perplexity() const {
  return diverged.empty() ? result.perplexity() : std::numeric_limits<double>::quiet_NaN();
}

Spread perplexity_of(const std::vector<StudiedTraining>& trainings) {
  std::vector<double> values;
  values.reserve(trainings.size());
  for (const auto& training : trainings) {
    values.push_back(training.perplexity());
  }
  return spread_of(values);
}

double speed_of(const std::vector<StudiedTraining>& trainings) {
  std::vector<double> values;
  values.reserve(trainings.size());
  for (const auto& training : trainings) {
    values.push_back(training.result.tokens_per_second());
  }
  return median(values);
}

std::string problem_of(const std::vector<StudiedTraining>& trainings) {
  for (const auto& training : trainings) {
    if (!training.diverged.empty()) {
      return training.diverged;
    }
  }
  return {};
}

}  // namespace unroll

#pragma once

#include <vector>

#include "unroll/study.h"

namespace unroll {

/// Mean and sample standard deviation of at least one value.
Spread spread_of(const std::vector<double>& values);

/// That of the last epochs' perplexities; not a number if a training diverged.
Spread perplexity_of(const std::vector<TrainResult>& trainings, bool has_diverged);

/// Median of the trainings' medians.
double speed_of(const std::vector<TrainResult>& trainings);

}  // namespace unroll

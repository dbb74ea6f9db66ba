#pragma once

#include <string>
#include <vector>

#include "unroll/study.h"

namespace unroll {

/// Mean and sample standard deviation of at least one value.
Spread spread_of(const std::vector<double>& values);

/// That of the trainings' perplexities; not a number if one diverged.
Spread perplexity_of(const std::vector<StudiedTraining>& trainings);

/// Median of the trainings' medians.
double speed_of(const std::vector<StudiedTraining>& trainings);

/// Why the first that diverged did; empty if none did.
std::string problem_of(const std::vector<StudiedTraining>& trainings);

}  // namespace unroll

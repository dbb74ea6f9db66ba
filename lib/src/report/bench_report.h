#pragma once

#include <string>
#include <vector>

#include "unroll/study.h"

namespace unroll {

/// Measurements as a table: median and range of tokens/s, the ratio to the first row, GFLOP/s and
/// what share of the peak that is, the phases' shares of the time, peak memory.
std::string table(const std::vector<BenchRow>& rows);

/// Measurements as one JSON object: rows with all that the table shows and every epoch's tokens/s.
std::string to_json(const std::vector<BenchRow>& rows);

}  // namespace unroll

#pragma once

#include <string>
#include <vector>

#include "unroll/study.h"

namespace unroll {

/// Published and own results, a row each, and what the verdicts mean.
std::string table(const std::vector<Reproduction>& rows);

/// One JSON object: passed, and rows with what the table shows, in full precision.
std::string to_json(const std::vector<Reproduction>& rows);

/// Whether no row failed.
bool has_passed(const std::vector<Reproduction>& rows);

}  // namespace unroll

#pragma once

#include <string>
#include <vector>

#include "report/table.h"
#include "unroll/study.h"

namespace unroll {

/// Published and own results, a row each.
Table results_table(const std::vector<Reproduction>& rows);

/// Sentences, a line each, on how to read them.
std::string notes(const std::vector<Reproduction>& rows);

/// Both.
std::string table(const std::vector<Reproduction>& rows);

/// One JSON object: passed (whether all rows passed or are better), and rows with what the table
/// shows, in full precision.
std::string to_json(const std::vector<Reproduction>& rows);

/// Whether a row failed.
bool has_failed(const std::vector<Reproduction>& rows);

}  // namespace unroll

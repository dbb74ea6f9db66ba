#pragma once

#include <string>

#include "unroll/study.h"

namespace unroll {

/// A comparison as text: its tables (compare_tables.h), and the predictions.
std::string table(const Comparison& comparison);

/// A comparison as one JSON object: models, and of the implementations of one model differences
/// (concise from scratch) and fused_differences. Full precision.
std::string to_json(const Comparison& comparison);

}  // namespace unroll

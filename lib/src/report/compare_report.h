#pragma once

#include <string>

#include "unroll/study.h"

namespace unroll {

/// A comparison as a table with the predictions below it.
std::string table(const Comparison& comparison);

/// A comparison as one JSON object: differences (concise from scratch), fused_differences, models.
std::string to_json(const Comparison& comparison);

}  // namespace unroll

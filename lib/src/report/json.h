#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "unroll/compute.h"

namespace unroll {

/// Keys in the order in which they are set.
using Json = nlohmann::ordered_json;

/// The text of an object, on one line. A prediction by byte need not be valid UTF-8, which JSON
/// must be: U+FFFD replaces what is not. Control characters beyond ASCII's first, which JSON takes
/// as they are and some terminals obey, are escaped like those.
std::string dump(const Json& json);

/// model, compute, cell, hidden, layers, precision: `model` is what the row or the training calls
/// it, `compute` and `precision` are what was in force.
Json describe_model(std::string_view model, const ModelConfig& config, const Compute& effective);

}  // namespace unroll

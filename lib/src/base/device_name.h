#pragma once

#include <string_view>

namespace unroll {

/// Throws UsageError unless `name` is one of the names that parse_device knows.
/// Touches no device.
void check_device_name(std::string_view name);

}  // namespace unroll

#pragma once

#include <string_view>

namespace unroll::app {

/// One line on stderr, `unroll: MESSAGE`: control characters that a file's name or a prompt brought
/// are escaped.
void print_error(std::string_view message);

}  // namespace unroll::app

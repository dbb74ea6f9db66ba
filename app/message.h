#pragma once

#include <string_view>

namespace unroll::app {

/// Text as it is on stderr, at once; when nobody takes it, it is lost, and nothing else is.
void print_note(std::string_view text);

/// One line on stderr, `unroll: MESSAGE`: control characters that a file's name or a prompt brought
/// are escaped.
void print_error(std::string_view message);

}  // namespace unroll::app

#pragma once

#include <cstdio>
#include <string_view>
#include <utility>

#include "base/formatted.h"

namespace unroll::app {

/// Throws std::system_error if it cannot write.
void print(std::FILE* file, std::string_view text);

/// The same for what `formatted` makes of its arguments.
template <typename... Values>
void print_formatted(std::FILE* file, fmt::format_string<Values...> text, Values&&... values) {
  print(file, formatted(text, std::forward<Values>(values)...));
}

/// Text as it is on stderr, at once. A failed write is ignored.
void print_note(std::string_view text);

/// One line on stderr, `unroll: MESSAGE`: control characters that a file's name or a prompt brought
/// are escaped.
void print_error(std::string_view message);

}  // namespace unroll::app

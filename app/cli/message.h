#pragma once

#include <cstdio>
#include <string>
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

/// The control characters of a text that a terminal gets.
inline constexpr std::string_view kKeptOnTerminal = "\n\t";

/// The same for a text that a model or a file brings: on a terminal its control characters are
/// shown, not obeyed (report/visible_text.h), but for line ends and tabs.
void print_text(std::FILE* file, std::string_view text);

/// What print_text prints there.
std::string shown_on(std::FILE* file, std::string_view text);

/// Whether what is written there goes to a terminal.
bool is_terminal(std::FILE* file);

/// Text as it is on stderr, at once. A failed write is ignored.
void print_note(std::string_view text);

/// What stands before a message instead of `unroll`: which process of several this is.
void set_message_prefix(std::string prefix);

/// One line on stderr, `unroll: MESSAGE`: control characters that a file's name or a prompt brought
/// are shown as pictures.
void print_error(std::string_view message);

}  // namespace unroll::app

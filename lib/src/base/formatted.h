#pragma once

// fmt, as this project's sources use it: the text is checked while compiling, and what formats it
// is compiled once, in formatted.cpp. With fmt::format, which is header-only here, every source
// compiles its own, 5 s each.

#if __has_include(<fmt/base.h>)
#include <fmt/base.h>
#else  // before fmt 11
#include <fmt/core.h>
#endif

#include <string>
#include <string_view>

namespace unroll {

namespace detail {

std::string format(fmt::string_view text, fmt::format_args values);

template <typename... Values>
fmt::string_view checked(const fmt::format_string<Values...>& text) {
#if FMT_VERSION >= 100000
  return text.get();
#else
  return text;
#endif
}

}  // namespace detail

/// As fmt::format. The name is none of std's, which would be found as well by its arguments.
template <typename... Values>
std::string formatted(fmt::format_string<Values...> text, Values&&... values) {
  return detail::format(detail::checked<Values...>(text), fmt::make_format_args(values...));
}

/// `1 epoch`, `2 epochs`.
template <typename Count>
std::string counted(Count count, std::string_view noun) {
  return formatted("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// `2, 3, 4`, each of them as {} has it.
template <typename Range>
std::string joined(const Range& range, std::string_view separator) {
  std::string result;
  bool is_first = true;
  for (const auto& value : range) {
    if (!is_first) {
      result += separator;
    }
    is_first = false;
    result += formatted("{}", value);
  }
  return result;
}

}  // namespace unroll

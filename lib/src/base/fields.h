#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/options.h"

// What can be made of the list of an options struct's fields.

namespace unroll {

template <typename T>
struct OptionalTraits : std::false_type {
  using Value = T;
};
template <typename T>
struct OptionalTraits<std::optional<T>> : std::true_type {
  using Value = T;
};
template <typename T>
inline constexpr bool kIsOptional = OptionalTraits<std::remove_cvref_t<T>>::value;
template <typename T>
inline constexpr bool kIsList = std::is_same_v<std::remove_cvref_t<T>, std::vector<std::string>>;

/// Throws UsageError unless the value lies in the range: `hidden must be >= 1, got 0`.
template <typename T>
requires std::is_arithmetic_v<T>
void require_in(std::string_view name, T value, const OptionRange& range) {
  const auto number = static_cast<double>(value);
  const bool high_enough = range.takes_least ? number >= range.least : number > range.least;
  const bool low_enough = range.takes_most ? number <= range.most : number < range.most;
  // number - number is not a number for an infinity.
  const bool finite = number - number == 0;
  if (high_enough && low_enough && finite) {
    return;
  }
  if (!finite) {
    throw UsageError(formatted("{} must be a finite number, got {}", name, value));
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto low = formatted("{} {}", range.takes_least ? ">=" : ">", range.least);
  std::string expected;
  if (range.most == kInfinity) {
    expected = low;
  } else if (std::is_integral_v<T>) {
    expected = high_enough ? formatted("<= {}", range.most) : low;
  } else if (!range.takes_least && !range.takes_most) {
    expected = formatted("between {} and {}", range.least, range.most);
  } else {
    expected = range.takes_least ? formatted("from {} to {}{}", range.least,
                                             range.takes_most ? "" : "below ", range.most)
                                 : formatted("{} and at most {}", low, range.most);
  }
  throw UsageError(formatted("{} must be {}{}, got {}", name, expected,
                             range.note.empty() ? "" : formatted(" ({})", range.note), value));
}

/// Throws UsageError, which names the field and its range, unless every number lies in its range.
template <typename Options>
void check_ranges(const Options& options) {
  Options::fields(options, [](const auto& value, const Field& field) {
    using T = std::remove_cvref_t<decltype(value)>;
    if constexpr (kIsOptional<T>) {
      if constexpr (std::is_arithmetic_v<typename OptionalTraits<T>::Value>) {
        if (value) {
          require_in(field.name, *value, field.range);
        }
      }
    } else if constexpr (std::is_arithmetic_v<T>) {
      require_in(field.name, value, field.range);
    }
  });
}

/// The names of an enumeration, all but one if that is given: `rnn, gru, lstm`.
template <NamedEnum Enum>
std::string names_of(std::optional<Enum> without = {}) {
  std::string list;
  for (const auto& [value, name] : enum_names(Enum{}).names) {
    if (value != without) {
      list += (list.empty() ? "" : ", ") + std::string(name);
    }
  }
  return list;
}

/// The text that parse_value reads; empty for an optional without a value. Not of a list.
template <typename T>
std::string to_text(const T& value) {
  if constexpr (kIsOptional<T>) {
    return value ? to_text(*value) : std::string();
  } else if constexpr (NamedEnum<T>) {
    return std::string(to_string(value));
  } else {
    return formatted("{}", value);
  }
}

/// Reads a value from a text. Throws UsageError that names the option, the text and what was
/// expected: `hidden must be an integer, got 'x'`.
template <typename T>
void parse_value(std::string_view name, std::string_view text, T& value) {
  if constexpr (kIsOptional<T>) {
    parse_value(name, text, value.emplace());
  } else if constexpr (NamedEnum<T>) {
    value = parse_enum<T>(text);
  } else if constexpr (std::is_arithmetic_v<T>) {
    const auto* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stopped != end) {
      if (std::is_unsigned_v<T> && text.starts_with('-')) {
        throw UsageError(formatted("{} must be >= 0, got {}", name, text));
      }
      throw UsageError(formatted("{} must be {}, got '{}'", name,
                                 std::is_integral_v<T> ? "an integer" : "a number", text));
    }
  } else {
    value = std::string(text);
  }
}

}  // namespace unroll

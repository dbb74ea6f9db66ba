#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#pragma GCC visibility push(default)
namespace unroll {

/// The names of an enumeration, in the order in which messages list them.
///
/// An enumeration has one table, which is found by its argument:
///
///     constexpr auto enum_names(Cell) {
///       return enum_table<Cell>("cell", {{Cell::kRnn, "rnn"}, {Cell::kGru, "gru"}});
///     }
template <typename Enum, std::size_t N>
struct EnumNames {
  std::string_view what;                                   ///< what messages call the value
  std::array<std::pair<Enum, std::string_view>, N> names;  ///< each value with its name
};

/// Such a table, from its pairs in braces.
template <typename Enum, std::size_t N>
constexpr EnumNames<Enum, N> enum_table(std::string_view what,
                                        const std::pair<Enum, std::string_view> (&names)[N]) {
  return {what, std::to_array(names)};
}

template <typename Enum>
concept NamedEnum = std::is_enum_v<Enum> && requires(Enum value) {
  enum_names(value);
};

/// The name of a value: `gru`.
template <NamedEnum Enum>
constexpr std::string_view to_string(Enum value) {
  for (const auto& [one, name] : enum_names(value).names) {
    if (one == value) {
      return name;
    }
  }
  return "?";
}

/// Throws UsageError: `cell must be rnn, gru or lstm, got 'x'`.
[[noreturn]] void throw_unknown_name(std::string_view what, std::span<const std::string_view> names,
                                     std::string_view got);

/// The value of a name. Throws UsageError, which lists the names, for any other.
template <NamedEnum Enum>
Enum parse_enum(std::string_view name) {
  constexpr auto kTable = enum_names(Enum{});
  std::array<std::string_view, kTable.names.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (kTable.names[i].second == name) {
      return kTable.names[i].first;
    }
    names[i] = kTable.names[i].second;
  }
  throw_unknown_name(kTable.what, names, name);
}

/// The numbers that an option takes.
struct OptionRange {
  double least = -std::numeric_limits<double>::infinity();  ///< lower end
  double most = std::numeric_limits<double>::infinity();    ///< upper end
  bool takes_least = true;                                  ///< whether the lower end is taken
  bool takes_most = true;                                   ///< whether the upper end is taken
  std::string_view note = {};                               ///< what messages add: "0 is off"
};

/// [least, infinity]
constexpr OptionRange at_least(double least, std::string_view note = {}) {
  return {.least = least, .note = note};
}
/// [least, most]
constexpr OptionRange from_to(double least, double most) { return {.least = least, .most = most}; }
/// [least, bound)
constexpr OptionRange from_to_below(double least, double bound) {
  return {.least = least, .most = bound, .takes_most = false};
}
/// (bound, most]
constexpr OptionRange above_to(double bound, double most) {
  return {.least = bound, .most = most, .takes_least = false};
}
/// (low, high)
constexpr OptionRange between(double low, double high) {
  return {.least = low, .most = high, .takes_least = false, .takes_most = false};
}

/// An option of an options struct: its name on a command line, in messages and, with `_` for `-`,
/// in JSON; what stands for its value in a help text; the help, in which {} stands for the names of
/// an enumeration; and the numbers that it takes.
///
/// Each options struct lists its fields once, to a visitor that is called with each value and its
/// Field. The command line, range checks, checkpoints, and the documentation are made from that
/// list, and programs of your own can be:
///
///     DataOptions::fields(options, [](auto& value, const Field& field) { ... });
struct Field {
  std::string_view name;         ///< on the command line, without dashes
  std::string_view placeholder;  ///< for its value in --help
  std::string_view help;         ///< what it does; {} stands for an enumeration's names
  OptionRange range = {};        ///< the numbers that it takes
};

}  // namespace unroll
#pragma GCC visibility pop

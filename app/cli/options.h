#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// A comma belongs to a prompt; only a repeated option makes a list.
#define CXXOPTS_VECTOR_DELIMITER '\0'
// Its regular expressions would need more stack than there is for an argument of 30,000 bytes.
#define CXXOPTS_NO_REGEX
#include <cxxopts.hpp>

#include "base/fields.h"

namespace unroll::app {

using OptionNames = std::initializer_list<std::string_view>;

/// One command's options: declared once, then read.
/// Every reader throws UsageError that names the option, its value and what was expected.
class Options {
 public:
  /// `usage` is the line below the command's name in its help.
  Options(const std::string& command, const std::string& usage);

  /// The options that follow stand under this heading in the help.
  Options& group(const std::string& name);
  /// An option with a value; a default only to show goes into `help`.
  Options& value(const std::string& name, const std::string& help, const std::string& placeholder,
                 const std::string& fallback = "");
  /// An option that may be repeated.
  Options& list(const std::string& name, const std::string& help, const std::string& placeholder);
  /// An option without a value.
  Options& flag(const std::string& name, const std::string& help);
  /// Those of an options struct, by the list of its fields.
  template <typename Struct>
  Options& fields(const Struct& defaults, OptionNames without = {});

  /// Reads the arguments. False after --help, which it prints.
  bool parse(int argc, const char* const* argv);
  /// The same for arguments that are not from a command line: `--cell=gru`.
  void parse(const std::vector<std::string>& arguments);
  /// Gives an option another value than the command line does, or none.
  void replace(const std::string& name, const std::optional<std::string>& value);
  /// Whether there is an option of this name.
  bool knows(const std::string& name) const { return names_.contains(name); }

  /// Values for options that are not given: those of the training to resume.
  void restore(std::map<std::string, std::vector<std::string>> values);

  /// Whether the option was given, and not left to its default.
  bool given(const std::string& name) const { return result_.count(name) > 0; }
  /// Whether the option was given or restored.
  bool has(const std::string& name) const { return given(name) || restored_.contains(name); }
  bool is_set(const std::string& name) const { return result_[name].as<bool>(); }
  std::string text(const std::string& name) const;
  /// A file's path: not empty.
  std::string path(const std::string& name) const;
  /// The files that an option names, once or repeated: none of them empty.
  std::vector<std::filesystem::path> paths(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  /// Those of an options struct's fields that were given, as `--lr`.
  template <typename Struct>
  std::vector<std::string> given_fields(OptionNames without = {}) const;
  /// What was given, in its order, as name and value.
  std::vector<std::pair<std::string, std::string>> arguments() const;
  /// The command with what was given, to copy into a shell.
  std::string command_line() const;
  /// The first option given that is none of these; empty if there is none.
  std::string first_given_besides(OptionNames these) const;
  /// Throws UsageError, which points to the command's help, unless these were given.
  void require(OptionNames names) const;

  /// Puts what was given into an options struct; the rest of it stays.
  template <typename Struct>
  void read(Struct& into, OptionNames without = {}) const;

 private:
  cxxopts::Options options_;
  cxxopts::ParseResult result_;
  std::string command_;
  std::map<std::string, std::vector<std::string>> restored_;
  std::string group_;
  std::set<std::string> names_;          // of all options
  std::set<std::string> lists_;          // those that may be repeated
  std::set<std::string> flags_;          // those without a value
  std::vector<std::string> groups_{""};  // in the order of their declaration, as help shows them
};

template <typename Struct>
Options& Options::fields(const Struct& defaults, OptionNames without) {
  Struct::fields(defaults, [&](const auto& value, const Field& field) {
    if (std::find(without.begin(), without.end(), field.name) != without.end()) {
      return;
    }
    const std::string name(field.name);
    const std::string placeholder(field.placeholder);
    std::string help(field.help);
    using T = typename OptionalTraits<std::remove_cvref_t<decltype(value)>>::Value;
    if constexpr (NamedEnum<T>) {
      if (const auto names = help.find("{}"); names != std::string::npos) {
        help.replace(names, 2, names_of<T>());
      }
    }
    if constexpr (kIsList<decltype(value)>) {
      list(name, help, placeholder);
    } else {
      this->value(name, help, placeholder, to_text(value));
    }
  });
  return *this;
}

template <typename Struct>
void Options::read(Struct& into, OptionNames without) const {
  Struct::fields(into, [&](auto& value, const Field& field) {
    const std::string name(field.name);
    if (std::find(without.begin(), without.end(), field.name) != without.end() || !given(name)) {
      return;
    }
    if constexpr (kIsList<decltype(value)>) {
      value = texts(name);
    } else {
      parse_value("--" + name, text(name), value);
    }
  });
}

template <typename Struct>
std::vector<std::string> Options::given_fields(OptionNames without) const {
  std::vector<std::string> names;
  const Struct any;
  Struct::fields(any, [&](const auto&, const Field& field) {
    const std::string name(field.name);
    if (std::find(without.begin(), without.end(), field.name) == without.end() && given(name)) {
      names.push_back("--" + name);
    }
  });
  return names;
}

/// The pieces of a list with commas between them; one of them may be empty.
std::vector<std::string> split_list(const std::string& list, char separator = ',');

/// The values of an option that takes several with commas between them: `rnn,gru`.
template <typename T>
std::vector<T> list_of(const Options& options, const std::string& name) {
  const auto text = options.text(name);
  std::vector<T> values;
  for (const auto& piece : split_list(text)) {
    try {
      parse_value("--" + name, piece, values.emplace_back());
    } catch (const UsageError&) {
      if constexpr (std::is_integral_v<T>) {
        throw UsageError(
            formatted("--{} takes integers with commas between them, got '{}'", name, text));
      }
      throw;
    }
  }
  return values;
}

}  // namespace unroll::app

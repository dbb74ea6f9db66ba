#include "cli/options.h"

#include <utility>

#include "base/formatted.h"
#include "cli/message.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

// As it is, or in quotes that a shell takes off again.
std::string quoted_for_shell(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) {
    return text;
  }
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return quoted + "'";
}

}  // namespace

Options::Options(const std::string& command, const std::string& usage)
    : options_("unroll " + command, usage), command_(command) {
  options_.set_width(100).custom_help("[options]");
}

Options& Options::group(const std::string& name) {
  group_ = name;
  groups_.push_back(name);
  return *this;
}

Options& Options::value(const std::string& name, const std::string& help,
                        const std::string& placeholder, const std::string& fallback) {
  auto value = cxxopts::value<std::string>();
  if (!fallback.empty()) {
    value->default_value(fallback);
  }
  names_.insert(name);
  options_.add_options(group_)(name, help, value, placeholder);
  return *this;
}

Options& Options::list(const std::string& name, const std::string& help,
                       const std::string& placeholder) {
  names_.insert(name);
  lists_.insert(name);
  options_.add_options(group_)(name, help, cxxopts::value<std::vector<std::string>>(), placeholder);
  return *this;
}

Options& Options::flag(const std::string& name, const std::string& help) {
  names_.insert(name);
  flags_.insert(name);
  options_.add_options(group_)(name, help, cxxopts::value<bool>());
  return *this;
}

bool Options::parse(int argc, const char* const* argv) {
  if (names_.insert("help").second) {
    options_.add_options()("h,help", "show this help");
  }
  try {
    result_ = options_.parse(argc, argv);
  } catch (const cxxopts::exceptions::exception& error) {
    throw UsageError(formatted("{}: {} (unroll {} --help)", command_, error.what(), command_));
  }
  if (result_.count("help") > 0) {
    print_formatted(stdout, "{}", options_.help(groups_));
    return false;
  }
  if (!result_.unmatched().empty()) {
    throw UsageError(formatted("{}: unexpected argument '{}' (unroll {} --help)", command_,
                               result_.unmatched().front(), command_));
  }
  return true;
}

void Options::parse(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv{command_.c_str()};
  for (const auto& argument : arguments) {
    argv.push_back(argument.c_str());
  }
  parse(static_cast<int>(argv.size()), argv.data());
}

void Options::replace(const std::string& name, const std::optional<std::string>& value) {
  std::vector<std::string> changed;
  for (const auto& [other, given_value] : arguments()) {
    if (other != name) {
      changed.push_back(formatted("--{}={}", other, given_value));
    }
  }
  if (value) {
    changed.push_back(formatted("--{}={}", name, *value));
  }
  parse(changed);
}

void Options::restore(std::map<std::string, std::vector<std::string>> values) {
  restored_ = std::move(values);
}

std::string Options::text(const std::string& name) const {
  const auto restored = restored_.find(name);
  return given(name) || restored == restored_.end() ? result_[name].as<std::string>()
                                                    : restored->second.front();
}

std::string Options::path(const std::string& name) const {
  auto value = text(name);
  if (value.empty()) {
    throw UsageError(formatted("--{} must name a file, got ''", name));
  }
  return value;
}

std::vector<std::filesystem::path> Options::paths(const std::string& name) const {
  if (!lists_.contains(name)) {
    return {path(name)};
  }
  const auto values = texts(name);
  if (std::find(values.begin(), values.end(), "") != values.end()) {
    throw UsageError(formatted("--{} must name a file, got ''", name));
  }
  return {values.begin(), values.end()};
}

std::vector<std::string> Options::texts(const std::string& name) const {
  if (given(name)) {
    return result_[name].as<std::vector<std::string>>();
  }
  const auto restored = restored_.find(name);
  return restored == restored_.end() ? std::vector<std::string>{} : restored->second;
}

int64_t Options::integer(const std::string& name) const {
  int64_t value = 0;
  parse_value("--" + name, text(name), value);
  return value;
}

std::vector<std::pair<std::string, std::string>> Options::arguments() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& argument : result_.arguments()) {
    all.emplace_back(argument.key(), argument.value());
  }
  return all;
}

std::string Options::command_line() const {
  auto line = formatted("unroll {}", command_);
  for (const auto& [name, value] : arguments()) {
    line += formatted(" --{}", name);
    if (!flags_.contains(name)) {
      line += " " + quoted_for_shell(value);
    } else if (value != "true") {
      line += "=" + quoted_for_shell(value);
    }
  }
  return line;
}

std::string Options::first_given_besides(OptionNames these) const {
  for (const auto& argument : result_.arguments()) {
    if (std::find(these.begin(), these.end(), argument.key()) == these.end()) {
      return argument.key();
    }
  }
  return {};
}

void Options::require(OptionNames names) const {
  for (const auto name : names) {
    if (!given(std::string(name))) {
      throw UsageError(
          formatted("{}: --{} is missing (unroll {} --help)", command_, name, command_));
    }
  }
}

std::vector<std::string> split_list(const std::string& list, char separator) {
  std::vector<std::string> pieces;
  for (std::size_t begin = 0; begin <= list.size();) {
    const auto end = std::min(list.find(separator, begin), list.size());
    pieces.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return pieces;
}

}  // namespace unroll::app

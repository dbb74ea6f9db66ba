#include "cli/configurations.h"

#include <algorithm>
#include <utility>

#include "base/formatted.h"
#include "cli/train_request.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

using Setting = std::pair<std::string, std::string>;  // an option's name and value
using Settings = std::vector<Setting>;

// In a file's name or a prompt a comma is a comma.
bool may_be_list(const std::string& name) {
  return name != "text" && name != "valid" && name != "index" && name != "prompt";
}

bool has(const Settings& settings, const std::string& name) {
  return std::any_of(settings.begin(), settings.end(),
                     [&](const Setting& setting) { return setting.first == name; });
}

Options declare(const TrainOptions& defaults) {
  Options options("compare", "");
  add_training_options(options, defaults, {"every"});
  return options;
}

Settings parse_with(const std::string& text, const Options& known) {
  Settings settings;
  for (const auto& piece : split_list(text)) {
    const auto equals = piece.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UsageError(formatted(
          "--with takes NAME=VALUE with commas between them, got '{}' in '{}'; what has a "
          "comma itself can only be given to all, beside --with",
          piece, text));
    }
    const auto name = piece.substr(0, equals);
    if (name == "every") {
      throw UsageError(
          "--with: compare continues no prompt while it trains, so every has no effect");
    }
    if (!known.knows(name)) {
      throw UsageError(
          formatted("--with takes options of a training, got '{}' in '{}' (unroll compare --help)",
                    name, text));
    }
    if (has(settings, name)) {
      throw UsageError(formatted("--with names '{}' twice in '{}'", name, text));
    }
    settings.emplace_back(name, piece.substr(equals + 1));
  }
  return settings;
}

std::string name_of(const Settings& settings) {
  std::vector<std::string> parts;
  parts.reserve(settings.size());
  for (const auto& [name, value] : settings) {
    parts.push_back(formatted("{}={}", name, value));
  }
  return joined(parts, ",");
}

// All combinations of the values of what was given as a list; those of the first change slowest.
std::vector<Settings> combinations(const Settings& given, const Settings& without) {
  std::vector<Settings> all(1);
  for (const auto& [name, value] : given) {
    if (!may_be_list(name) || value.find(',') == std::string::npos || has(without, name)) {
      continue;
    }
    std::vector<Settings> longer;
    for (const auto& settings : all) {
      for (const auto& one : split_list(value)) {
        longer.push_back(settings);
        longer.back().emplace_back(name, one);
      }
    }
    all = std::move(longer);
  }
  return all;
}

AskedConfiguration read(const Settings& given, const Settings& own, const std::string& with,
                        const TrainOptions& defaults) {
  AskedConfiguration asked{
      .name = name_of(own), .options = declare(defaults), .config = {}, .record = {}};
  std::vector<std::string> arguments;
  for (const auto* settings : {&given, &own}) {
    for (const auto& [name, value] : *settings) {
      if (settings == &own || !has(own, name)) {
        arguments.push_back(formatted("--{}={}", name, value));
      }
    }
  }
  asked.record.options = defaults;
  try {
    asked.options.parse(arguments);
    read_training(asked.options, asked.config, asked.record);
    check(asked.config, asked.record.compute);
  } catch (const UsageError& error) {
    if (with.empty()) {
      throw;
    }
    throw UsageError(formatted("--with '{}': {}", with, error.what()));
  }
  return asked;
}

}  // namespace

void add_configuration_options(Options& options) {
  options.group("Configurations")
      .list("with",
            "compare a training with these options of train, as in 'cell=lstm,hidden=256'; repeat "
            "it for others (a single one is compared with the options beside it). An option with "
            "several values makes a training of each: --cell rnn,gru",
            "NAME=VALUE,...");
}

std::vector<AskedConfiguration> read_configurations(const Options& options,
                                                    const TrainOptions& defaults) {
  const auto known = declare(defaults);
  Settings given;
  for (auto& setting : options.arguments()) {
    if (known.knows(setting.first)) {
      given.push_back(std::move(setting));
    }
  }
  const auto texts = options.texts("with");
  std::vector<std::pair<std::string, Settings>> withs;
  if (texts.size() < 2) {
    withs.emplace_back();
  }
  for (const auto& text : texts) {
    withs.emplace_back(text, parse_with(text, known));
  }
  std::vector<AskedConfiguration> all;
  for (const auto& [text, with] : withs) {
    for (auto settings : combinations(given, with)) {
      settings.insert(settings.end(), with.begin(), with.end());
      all.push_back(read(given, settings, text, defaults));
      if (all.back().name.empty() && !texts.empty()) {
        all.back().name = "base";
      }
    }
  }
  return all;
}

}  // namespace unroll::app

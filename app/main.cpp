#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "commands.h"
#include "unroll/error.h"

namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

struct Command {
  std::string_view name;
  void (*run)(int, const char* const*);
  std::string_view does;
};

constexpr std::array kCommands{
    Command{"train", unroll::app::train, "trains a model on a text and continues two prompts"},
    Command{"generate", unroll::app::generate, "continues a prompt from a checkpoint"},
    Command{"compare", unroll::app::compare, "puts the scratch and the concise model side by side"},
    Command{"info", unroll::app::info, "shows what a checkpoint or this build holds"},
};

std::string usage() {
  std::string text =
      "unroll trains, compares and uses recurrent language models.\n\n"
      "Usage: unroll COMMAND [options]\n\n";
  for (const auto& command : kCommands) {
    text += fmt::format("  {:<10}{}\n", command.name, command.does);
  }
  return text +
         "\nunroll COMMAND --help lists a command's options. With no option, train learns\n"
         "from the bundled text.\n";
}

// The first line of a message that may carry a stack trace behind it.
std::string first_line(std::string_view message) {
  message = message.substr(0, message.find('\n'));
  // LibTorch puts the place in its own source in front.
  if (message.starts_with("[enforce fail at ")) {
    message.remove_prefix(std::min(message.size(), message.find("] ") + 2));
  }
  return std::string(message);
}

int run(int argc, const char* const* argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    fmt::print("{}", usage());
    return 0;
  }
  if (name == "--version") {
    fmt::print("unroll {}\n", UNROLL_VERSION);
    return 0;
  }
  for (const auto& command : kCommands) {
    if (command.name == name) {
      command.run(argc - 1, argv + 1);
      return 0;
    }
  }
  throw unroll::UsageError(
      name.empty() ? "no command given, expected one of train, generate, compare, info (--help)"
                   : fmt::format("unknown command '{}', expected one of train, generate, compare, "
                                 "info (--help)",
                                 name));
}

}  // namespace

int main(int argc, char** argv) {
  const auto fail = [](int code, const std::string& message) {
    fmt::print(stderr, "unroll: {}\n", message);
    return code;
  };
  try {
    const int code = run(argc, argv);
    if (std::fflush(stdout) != 0) {
      return fail(kFailed, "standard output cannot be written");
    }
    return code;
  } catch (const unroll::UsageError& error) {
    return fail(kWrongUsage, error.what());
  } catch (const unroll::Error& error) {
    return fail(kFailed, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kFailed, "out of memory");
  } catch (const std::exception& error) {
    return fail(kFailed, first_line(error.what()));
  }
}

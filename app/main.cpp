#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "base/formatted.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "commands/commands.h"
#include "unroll/error.h"

using unroll::formatted;

namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;
constexpr int kInterrupted = 130;

struct Command {
  std::string_view name;
  void (*run)(int, const char* const*);
  std::string_view does;
};

constexpr std::array kCommands{
    Command{"train", unroll::app::train, "trains a model on a text and continues prompts"},
    Command{"generate", unroll::app::generate, "continues a prompt from a checkpoint"},
    Command{"evaluate", unroll::app::evaluate,
            "measures how well a checkpoint predicts a text, token by token"},
    Command{"compare", unroll::app::compare,
            "trains models side by side and measures how far they differ"},
    Command{"reproduce", unroll::app::reproduce,
            "runs the notebook's published results and judges them"},
    Command{"bench", unroll::app::bench, "measures how fast models train on this machine"},
    Command{"convert", unroll::app::convert, "turns a checkpoint into PyTorch's files, or back"},
    Command{"info", unroll::app::info, "shows what a checkpoint or this build holds"},
};

std::string usage() {
  std::string text =
      "unroll trains, compares and uses recurrent language models.\n\n"
      "Usage: unroll COMMAND [options]\n\n";
  for (const auto& command : kCommands) {
    text += formatted("  {:<10}{}\n", command.name, command.does);
  }
  return text +
         "\nunroll COMMAND --help lists a command's options. With no option, train learns\n"
         "from the bundled text.\n";
}

// What went wrong, from a message of LibTorch's that has more: its first line, and of a refused
// allocation what follows the place in LibTorch's own source.
std::string gist(std::string_view message) {
  message = message.substr(0, message.find('\n'));
  constexpr std::string_view kAllocator = "DefaultCPUAllocator: ";
  if (const auto at = message.find(kAllocator); at != std::string_view::npos) {
    return formatted("out of memory: {}", message.substr(at + kAllocator.size()));
  }
  return std::string(message);
}

int run(int argc, const char* const* argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    unroll::app::print_formatted(stdout, "{}", usage());
    return 0;
  }
  if (name == "--version") {
    unroll::app::print_formatted(stdout, "unroll {}\n", UNROLL_VERSION);
    return 0;
  }
  std::string names;
  for (const auto& command : kCommands) {
    if (command.name == name) {
      command.run(argc - 1, argv + 1);
      return 0;
    }
    names += formatted("{}{}", names.empty() ? "" : ", ", command.name);
  }
  throw unroll::UsageError(formatted(
      "{}, expected one of {} (--help)",
      name.empty() ? "no command given" : formatted("unknown command '{}'", name), names));
}

// Runs a command; what it throws becomes a line on stderr. Returns the exit code.
int run_guarded(int argc, const char* const* argv) {
  const auto fail = [](int code, const std::string& message) {
    unroll::app::print_error(message);
    return code;
  };
  try {
    const int code = run(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return fail(kFailed, "standard output cannot be written");
    }
    return code;
  } catch (const unroll::app::Interrupted& interrupted) {
    return fail(kInterrupted, interrupted.what());
  } catch (const unroll::UsageError& error) {
    return fail(kWrongUsage, error.what());
  } catch (const unroll::Error& error) {
    return fail(kFailed, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kFailed, "out of memory");
  } catch (const std::system_error& error) {  // print_formatted's
    return fail(kFailed, std::ferror(stdout) != 0 ? "standard output cannot be written"
                                                  : gist(error.what()));
  } catch (const std::exception& error) {
    return fail(kFailed, gist(error.what()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  // A limit on the size of files is then an error of writing, like a full disk's.
  std::signal(SIGXFSZ, SIG_IGN);
  const int code = run_guarded(argc, argv);
  std::fflush(nullptr);
  // Without the destructors of LibTorch's statics: 0.4 s for `unroll --version` instead of 0.5
  std::_Exit(code);
}

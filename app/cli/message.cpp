#include "cli/message.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "report/visible_text.h"

namespace unroll::app {
namespace {

std::string message_prefix = "unroll";

}  // namespace

void print(std::FILE* file, std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file) < text.size()) {
    throw std::system_error(errno, std::generic_category(), "cannot write");
  }
}

void print_text(std::FILE* file, std::string_view text) { print(file, shown_on(file, text)); }

std::string shown_on(std::FILE* file, std::string_view text) {
  return is_terminal(file) ? visible(text, kKeptOnTerminal) : std::string(text);
}

bool is_terminal(std::FILE* file) { return isatty(fileno(file)) == 1; }

void print_note(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void set_message_prefix(std::string prefix) { message_prefix = std::move(prefix); }

void print_error(std::string_view message) {
  print_note(formatted("{}: {}\n", message_prefix, visible(message)));
}

}  // namespace unroll::app

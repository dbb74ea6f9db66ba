#include "cli/message.h"

#include <cerrno>
#include <string>
#include <system_error>

namespace unroll::app {

void print(std::FILE* file, std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file) < text.size()) {
    throw std::system_error(errno, std::generic_category(), "cannot write");
  }
}

void print_note(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void print_error(std::string_view message) {
  std::string line;
  for (const char c : message) {
    if (static_cast<unsigned char>(c) < 0x20) {
      line += formatted("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      line += c;
    }
  }
  print_note(formatted("unroll: {}\n", line));
}

}  // namespace unroll::app

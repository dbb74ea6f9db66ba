#include "message.h"

#include <cstdio>
#include <string>

#include "formatted.h"

namespace unroll::app {

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

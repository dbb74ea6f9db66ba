#include "message.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>

namespace unroll::app {

void print_error(std::string_view message) {
  std::string line;
  for (const char c : message) {
    if (static_cast<unsigned char>(c) < 0x20) {
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      line += c;
    }
  }
  fmt::print(stderr, "unroll: {}\n", line);
}

}  // namespace unroll::app

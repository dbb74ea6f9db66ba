#include "study/heat_map.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <numbers>

#include "base/formatted.h"

namespace unroll {
namespace {

struct Level {
  double bits;     // of surprise, up to these
  int background;  // of the 256 colours
  std::string_view name;
};

// Light colours of the 6x6x6 cube: black on each has a contrast of more than 7 to 1.
constexpr std::array kLevels{
    Level{0.5, 87, "<0.5"}, Level{1, 158, "0.5-1"}, Level{2, 229, "1-2"},
    Level{4, 222, "2-4"},   Level{8, 215, "4-8"},   Level{0, 203, ">8"},
};

const Level& level_of(double nats) {
  const auto* last = std::prev(kLevels.end());
  return *std::find_if(kLevels.begin(), last,
                       [&](const Level& level) { return nats / std::numbers::ln2 < level.bits; });
}

std::string on_background(const Level& level, std::string_view text) {
  return formatted("\x1b[38;5;16;48;5;{}m{}\x1b[0m", level.background, text);
}

bool is_utf8(std::string_view text) {
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto size = static_cast<utf8proc_ssize_t>(text.size());
  while (size > 0) {
    utf8proc_int32_t code_point = 0;
    const auto read = utf8proc_iterate(data, size, &code_point);
    // The controls of Latin-1 are commands to some terminals.
    if (read <= 0 || (0x80 <= code_point && code_point < 0xA0)) {
      return false;
    }
    data += read;
    size -= read;
  }
  return true;
}

// Nothing in it moves the cursor or changes the terminal's state.
std::string visible(std::string_view token) {
  const bool whole = is_utf8(token);
  std::string text;
  for (const char c : token) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      text += "\xe2\x90";  // U+2400, the picture of NUL, and those that follow it
      text += static_cast<char>(0x80 + byte);
    } else if (byte == 0x7F) {
      text += "\xe2\x90\xa1";
    } else if (byte >= 0x80 && !whole) {
      text += formatted("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text;
}

std::string_view line_end(std::string_view token) { return token == "\n" ? "\n" : ""; }

}  // namespace

std::string heat_map(std::string_view token, double nats) {
  const std::string text = token == "\n" ? "\xe2\x86\xb5" : visible(token);
  return on_background(level_of(nats), text).append(line_end(token));
}

std::string heat_map(std::string_view token) {
  return token == "\n" ? "\xe2\x86\xb5\n" : visible(token);
}

std::string heat_map_legend() {
  std::string legend = "bits of surprise:";
  for (const auto& level : kLevels) {
    legend += ' ';
    legend += on_background(level, formatted(" {} ", level.name));
  }
  return legend;
}

}  // namespace unroll

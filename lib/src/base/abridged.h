#pragma once

#include <string>
#include <string_view>

namespace unroll {

/// What a message shows of a text from a file, which may be of any length: its begin.
inline std::string abridged(std::string_view text) {
  constexpr std::size_t kMost = 60;
  if (text.size() <= kMost) {
    return std::string(text);
  }
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;  // not within a code point
  }
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace unroll

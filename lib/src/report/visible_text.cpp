#include "report/visible_text.h"

#include "base/formatted.h"
#include "text/utf8.h"

namespace unroll {

std::string visible(std::string_view text, std::string_view kept) {
  std::string shown;
  while (!text.empty()) {
    const auto unit = first_unit(text);
    const auto bytes = text.substr(0, unit.size);
    text.remove_prefix(unit.size);
    const bool is_control = unit.code_point < 0x20 || unit.code_point == 0x7F;
    if (unit.state != Utf8Unit::State::kWhole ||
        (0x80 <= unit.code_point && unit.code_point < 0xA0)) {
      for (const char c : bytes) {
        shown += formatted("\\x{:02x}", static_cast<unsigned char>(c));
      }
    } else if (is_control && kept.find(bytes) == std::string_view::npos) {
      // U+2400, the picture of NUL, and those that follow it; U+2421 is DEL's.
      shown += "\xe2\x90";
      shown += static_cast<char>(unit.code_point == 0x7F ? 0xA1 : 0x80 + unit.code_point);
    } else {
      shown += bytes;
    }
  }
  return shown;
}

std::string VisibleText::feed(std::string_view piece) {
  held_ += piece;
  std::size_t whole = 0;
  while (whole < held_.size()) {
    const auto unit = first_unit(std::string_view(held_).substr(whole));
    if (unit.state == Utf8Unit::State::kIncomplete) {
      break;
    }
    whole += unit.size;
  }
  auto shown = visible(std::string_view(held_).substr(0, whole), kept_);
  held_.erase(0, whole);
  return shown;
}

std::string VisibleText::finish() {
  auto shown = visible(held_, kept_);
  held_.clear();
  return shown;
}

}  // namespace unroll

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace unroll {

/// U+FFFD, what stands for bytes that are no character, and its UTF-8.
inline constexpr int32_t kReplacement = 0xFFFD;
inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";

/// The bytes at a text's front that belong together.
struct Utf8Unit {
  enum class State {
    kWhole,       ///< a code point
    kIllFormed,   ///< the maximal subpart of an ill-formed sequence: one U+FFFD replaces it
    kIncomplete,  ///< the text ends within what may become a code point
  };
  State state;
  std::size_t size;    ///< in bytes
  int32_t code_point;  ///< kReplacement unless whole
};

/// The first unit of a text that is not empty (the Unicode Standard, table 3-7 and section 3.9).
inline Utf8Unit first_unit(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead = byte(0);
  if (lead < 0x80) {
    return {Utf8Unit::State::kWhole, 1, lead};
  }
  if (lead < 0xC2 || lead > 0xF4) {
    return {Utf8Unit::State::kIllFormed, 1, kReplacement};
  }
  const std::size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's bounds keep out overlong forms, surrogates and what lies above U+10FFFF.
  auto least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  auto most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  int32_t code_point = lead & (0xFF >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if (i == text.size()) {
      return {Utf8Unit::State::kIncomplete, i, kReplacement};
    }
    const auto next = byte(i);
    if (next < least || next > most) {
      return {Utf8Unit::State::kIllFormed, i, kReplacement};
    }
    code_point = code_point << 6 | (next & 0x3F);
    least = 0x80;
    most = 0xBF;
  }
  return {Utf8Unit::State::kWhole, size, code_point};
}

/// Bytes of the code point that `lead` begins, in text known to be valid.
inline std::size_t utf8_size(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The code point of `size` bytes at the front of text known to be valid.
inline int32_t code_point_at(const char* text, std::size_t size) {
  const auto bits = [&](std::size_t i) { return static_cast<unsigned char>(text[i]) & 0x3F; };
  switch (size) {
    case 1:
      return static_cast<unsigned char>(text[0]);
    case 2:
      return (bits(0) & 0x1F) << 6 | bits(1);
    case 3:
      return (bits(0) & 0x0F) << 12 | bits(1) << 6 | bits(2);
    default:
      return (bits(0) & 0x07) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3);
  }
}

/// Code points in text known to be valid: the bytes that continue none.
inline int64_t count_code_points(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) {
    count += (static_cast<unsigned char>(c) & 0xC0) == 0x80 ? 0 : 1;
  }
  return count;
}

}  // namespace unroll

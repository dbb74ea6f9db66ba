#include <gtest/gtest.h>
#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "text/read_tokens.h"

namespace unroll {
namespace {

std::string nfc(const std::string& text) {
  auto* composed = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
  std::string result(reinterpret_cast<const char*>(composed));
  std::free(composed);
  return result;
}

TEST(FormC, StreamedTokensAreFormCOfTheWhole) {
  // Letters, marks of several classes, Hangul syllables and their parts, characters that are others
  // in form C, second halves of compositions of class 0, and what has nothing to do with any.
  const std::vector<utf8proc_int32_t> alphabet = {
      'a',    'e',    ' ',    '\n',   0x301,  0x308,   0x323,   0x327,   0x345,   0xE9,    0x1EA5,
      0x3B1,  0x1F00, 0x1100, 0x1161, 0x11A8, 0xAC00,  0xAC01,  0x212B,  0x344,   0x0F73,  0x0F71,
      0x9C7,  0x9BE,  0x9D7,  0x958,  0x915,  0x93C,   0x1111,  0x439,   0x438,   0x306,   0x4E2D,
      0xF900, 0x2ADC, 0xFB1D, 0x5D0,  0x5B4,  0x1D15E, 0x1F600, 0x110A5, 0x110BA, 0x1133E, 0x11347};
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::string text;
    for (unsigned i = 1 + random() % 60; i > 0; --i) {
      std::array<utf8proc_uint8_t, 4> bytes;
      // Few of them at a time, so that they meet.
      const auto first = seed * 7 % alphabet.size();
      const auto size = utf8proc_encode_char(
          alphabet[(first + random() % (seed % 2 == 0 ? 6 : alphabet.size())) % alphabet.size()],
          bytes.data());
      text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(size));
      if (random() % 3 == 0) {
        text += 'x';  // no more than thirty marks in a row
      }
    }
    const auto expected = nfc(text);
    for (const std::size_t block : {1, 2, 3, 5, 16, 1000}) {
      EXPECT_EQ(read({text}, kCharacters, block), expected) << "blocks of " << block;
    }
  }
}

TEST(FormC, EveryCodePointIsInFormCByItselfAndBetweenLetters) {
  for (utf8proc_int32_t c = 1; c < 0x110000; ++c) {
    std::array<utf8proc_uint8_t, 4> bytes;
    const auto size = utf8proc_encode_char(c, bytes.data());
    if (!utf8proc_codepoint_valid(c) || c == '\r' || c == 0xFEFF ||
        (c >= 0x3400 && c % 0x40 != 0)) {
      continue;
    }
    const std::string text(reinterpret_cast<const char*>(bytes.data()),
                           static_cast<std::size_t>(size));
    ASSERT_EQ(read({text}), nfc(text)) << "U+" << std::hex << c;
    ASSERT_EQ(read({"e" + text + "e"}), nfc("e" + text + "e")) << "U+" << std::hex << c;
  }
}

TEST(FormC, EndlessMarksAreComposedThirtyAtATime) {
  std::string text = "e";
  for (int i = 0; i < 100000; ++i) {
    text += "\xcc\x81";
  }
  const auto composed = read({text}, kCharacters, 4096);
  EXPECT_EQ(composed.substr(0, 4), "\xc3\xa9\xcc\x81");
  EXPECT_EQ(composed.size(), text.size() - 1);
  // In a row as long as that, order is kept only within each thirty.
  std::string marks = "e";
  for (int i = 0; i < 30; ++i) {
    marks += "\xcc\xa3";
  }
  EXPECT_EQ(read({marks}), nfc(marks));
  EXPECT_EQ(read({marks + "\xcc\x81"}), nfc(marks) + "\xcc\x81");
}

}  // namespace
}  // namespace unroll

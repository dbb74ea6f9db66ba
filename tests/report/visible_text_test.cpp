#include "report/visible_text.h"

#include <gtest/gtest.h>

#include <string>

namespace unroll {
namespace {

TEST(VisibleText, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(visible("a\x1b[2J"), "a\xe2\x90\x9b[2J");
  EXPECT_EQ(visible(std::string_view("\0\t\x7f", 3)), "\xe2\x90\x80\xe2\x90\x89\xe2\x90\xa1");
  EXPECT_EQ(visible("\xc2\x9b"), "\\xc2\\x9b");  // the CSI of Latin-1
  EXPECT_EQ(visible("\n\t\r", "\n\t"), "\n\t\xe2\x90\x8d");
}

TEST(VisibleText, CharactersStayAndOtherBytesAreInHexadecimal) {
  EXPECT_EQ(visible("caf\xc3\xa9 \xe4\xb8\xad"), "caf\xc3\xa9 \xe4\xb8\xad");
  EXPECT_EQ(visible("\xc3"), "\\xc3");
  EXPECT_EQ(visible("\xff\xe4\xb8x"), "\\xff\\xe4\\xb8x");
}

TEST(VisibleText, IsTheSameWhereverATextIsCut) {
  const std::string text = "caf\xc3\xa9\x1b\n \xe4\xb8\xad\xff\xf0\x9f\x98\x80\xe4\xb8";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    VisibleText pieces("\n");
    std::string shown;
    for (std::size_t at = 0; at < text.size(); at += size) {
      shown += pieces.feed(std::string_view(text).substr(at, size));
    }
    shown += pieces.finish();
    EXPECT_EQ(shown, visible(text, "\n")) << "pieces of " << size;
  }
}

}  // namespace
}  // namespace unroll

#include "study/heat_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace unroll {
namespace {

using ::testing::HasSubstr;

std::string on(int background, const std::string& text) {
  return "\x1b[38;5;16;48;5;" + std::to_string(background) + "m" + text + "\x1b[0m";
}

TEST(HeatMap, GoesFromCyanToRedByBitsOfSurprise) {
  const double bit = std::log(2);
  EXPECT_EQ(heat_map("a", 0), on(87, "a"));
  EXPECT_EQ(heat_map("a", 0.49 * bit), on(87, "a"));
  EXPECT_EQ(heat_map("a", 0.51 * bit), on(158, "a"));
  EXPECT_EQ(heat_map("word", 7.9 * bit), on(215, "word"));
  EXPECT_EQ(heat_map("a", 8.1 * bit), on(203, "a"));
  EXPECT_EQ(heat_map("a", 1e9), on(203, "a"));
}

TEST(HeatMap, ATokenWithoutASurpriseHasNoColour) { EXPECT_EQ(heat_map("a"), "a"); }

TEST(HeatMap, ALineEndIsSeenAndEndsTheLineWithoutColour) {
  EXPECT_EQ(heat_map("\n", 0), on(87, "\xe2\x86\xb5") + "\n");
  EXPECT_EQ(heat_map("\n"), "\xe2\x86\xb5\n");
}

TEST(HeatMap, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(heat_map("\x1b"), "\xe2\x90\x9b");
  EXPECT_EQ(heat_map("\t"), "\xe2\x90\x89");
  EXPECT_EQ(heat_map("\x7f"), "\xe2\x90\xa1");
  EXPECT_EQ(heat_map("\xc2\x9b"), "\\xc2\\x9b");  // the CSI of Latin-1
}

TEST(HeatMap, CodePointsAreWholeAndOtherBytesInHexadecimal) {
  EXPECT_EQ(heat_map("\xc3\xa9"), "\xc3\xa9");
  EXPECT_EQ(heat_map("\xc3"), "\\xc3");
}

TEST(HeatMap, TheLegendHasEveryBackground) {
  const auto legend = heat_map_legend();
  for (const int background : {87, 158, 229, 222, 215, 203}) {
    EXPECT_THAT(legend, HasSubstr("48;5;" + std::to_string(background) + "m"));
  }
  EXPECT_EQ(legend.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace unroll

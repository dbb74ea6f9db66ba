#include "report/heat_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace unroll {
namespace {

using ::testing::HasSubstr;

std::string on(int background, const std::string& text) {
  return "\x1b[38;5;16;48;5;" + std::to_string(background) + "m" + text + "\x1b[0m";
}

// What is shown of tokens, one behind the other, each with its surprise.
std::string shown(const std::vector<std::pair<std::string, std::optional<double>>>& tokens) {
  std::string text;
  HeatMap map([&](std::string_view piece) { text += piece; });
  for (const auto& [token, nats] : tokens) {
    map.add("", token, nats);
  }
  map.finish();
  return text;
}

TEST(HeatMap, GoesFromCyanToRedByBitsOfSurprise) {
  const double bit = std::log(2);
  EXPECT_EQ(shown({{"a", 0}}), on(87, "a"));
  EXPECT_EQ(shown({{"a", 0.49 * bit}}), on(87, "a"));
  EXPECT_EQ(shown({{"a", 0.51 * bit}}), on(158, "a"));
  EXPECT_EQ(shown({{"word", 7.9 * bit}}), on(215, "word"));
  EXPECT_EQ(shown({{"a", 8.1 * bit}}), on(203, "a"));
  EXPECT_EQ(shown({{"a", 1e9}}), on(203, "a"));
}

TEST(HeatMap, ATokenWithoutASurpriseHasNoColour) {
  EXPECT_EQ(shown({{"a", {}}, {"b", 0}}), "a" + on(87, "b"));
}

TEST(HeatMap, ALineEndIsSeenAndEndsTheLineWithoutColour) {
  EXPECT_EQ(shown({{"\n", 0}}), on(87, "\xe2\x86\xb5") + "\n");
  EXPECT_EQ(shown({{"\n", {}}, {"a", {}}}), "\xe2\x86\xb5\na");
}

TEST(HeatMap, GapsBetweenWordsHaveNoColour) {
  std::string text;
  HeatMap map([&](std::string_view piece) { text += piece; });
  map.add("", "to", std::nullopt);
  map.add(" ", "be", 0);
  map.finish();
  EXPECT_EQ(text, "to " + on(87, "be"));
}

TEST(HeatMap, WhatIsSeenAsOneCharacterIsOnOneBackground) {
  const double bit = std::log(2);
  // The bytes of a code point: 3 bits in all.
  EXPECT_EQ(shown({{"a", 0}, {"\xe4", bit}, {"\xb8", bit}, {"\xad", bit}, {"b", 0}}),
            on(87, "a") + on(222, "\xe4\xb8\xad") + on(87, "b"));
  // A letter and its accent, also by byte; a flag of two letters; a family.
  EXPECT_EQ(shown({{"e", bit}, {"\xcc\x81", 3 * bit}}), on(215, "e\xcc\x81"));
  EXPECT_EQ(shown({{"e", bit}, {"\xcc", bit}, {"\x81", bit}, {"x", 0}}),
            on(222, "e\xcc\x81") + on(87, "x"));
  const std::string d = "\xf0\x9f\x87\xa9";
  const std::string e = "\xf0\x9f\x87\xaa";
  EXPECT_EQ(shown({{d, bit}, {e, 0}, {d, 0}, {e, 0}}), on(229, d + e) + on(87, d + e));
  const std::string woman = "\xf0\x9f\x91\xa9";
  const std::string joiner = "\xe2\x80\x8d";
  EXPECT_EQ(shown({{woman, 0}, {joiner, 0}, {woman, 9 * bit}}), on(203, woman + joiner + woman));
  // The first has no surprise.
  EXPECT_EQ(shown({{"e", {}}, {"\xcc\x81", bit}}), "e\xcc\x81");
}

TEST(HeatMap, NothingThatEndsWithinACodePointIsLost) {
  EXPECT_EQ(shown({{"a", 0}, {"\xe4", 0}}), on(87, "a\\xe4"));
  EXPECT_EQ(shown({{"\xe4", 0}, {"a", 0}}), on(87, "\\xe4a"));
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

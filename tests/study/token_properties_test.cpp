#include "study/token_properties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "support/text_tokens.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

std::string times(int count, std::string_view text) {
  std::string result;
  for (int i = 0; i < count; ++i) {
    result += text;
  }
  return result;
}

std::vector<TokenProperty> properties_of(std::string_view text, TokenKind kind = TokenKind::kChar) {
  const TextTokens read(text, kind);
  return token_properties(read.indices, read.vocab);
}

std::vector<std::string> names_of(const std::vector<TokenProperty>& properties) {
  std::vector<std::string> names;
  for (const auto& property : properties) {
    names.push_back(property.name);
  }
  return names;
}

// The first `count` values of a property.
std::vector<double> values_of(const std::vector<TokenProperty>& properties, std::string_view name,
                              int64_t count) {
  for (const auto& property : properties) {
    if (property.name == name) {
      return {property.values.begin(), property.values.begin() + count};
    }
  }
  ADD_FAILURE() << "no " << name;
  return {};
}

TEST(TokenProperties, AreWhatAReaderSeesInCharacters) {
  const auto properties = properties_of(times(20, "Ab \"c\" (d)7\n"));
  const auto values = [&](std::string_view name) { return values_of(properties, name, 12); };
  EXPECT_THAT(values("white space"), ElementsAre(0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1));
  EXPECT_THAT(values("line ends"), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(values("vowels"), ElementsAre(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(values("digits"), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0));
  EXPECT_THAT(values("punctuation"), ElementsAre(0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0));
  EXPECT_THAT(values("the position in the word"), ElementsAre(1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4, 0));
  EXPECT_THAT(values("the position in the line"),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0));
  EXPECT_THAT(values("being inside quotation marks"),
              ElementsAre(0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(values("being inside parentheses"), ElementsAre(0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0));
  EXPECT_THAT(values("the letter b"), ElementsAre(0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(values("the character ("), ElementsAre(0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0));
  EXPECT_THAT(names_of(properties), Not(Contains("the character U+0020")));
  // "A" is the only capital letter, and the only vowel.
  EXPECT_THAT(names_of(properties), Not(Contains("capital letters")));
  EXPECT_THAT(names_of(properties), Not(Contains("the letter A")));
}

TEST(TokenProperties, OfEarlierTokensNeedMemory) {
  std::vector<std::string> remembered;
  for (const auto& property : properties_of(times(20, "Ab \"c\" (d)7\n"))) {
    if (property.needs_memory) {
      remembered.push_back(property.name);
    }
  }
  EXPECT_THAT(remembered, ElementsAre("the position in the word", "the position in the line",
                                      "being inside quotation marks", "being inside parentheses"));
}

TEST(TokenProperties, OfWordsAreTheirFormAndPlace) {
  const auto properties =
      properties_of(times(20, "The (old \"man. Caf\xc3\xa9\" 3)\n"), TokenKind::kWord);
  const auto values = [&](std::string_view name) { return values_of(properties, name, 6); };
  EXPECT_THAT(values("line ends"), ElementsAre(0, 0, 0, 0, 0, 1));
  EXPECT_THAT(values("words with a capital letter"), ElementsAre(1, 0, 0, 1, 0, 0));
  EXPECT_THAT(values("words that begin with a digit"), ElementsAre(0, 0, 0, 0, 1, 0));
  EXPECT_THAT(values("words that begin with punctuation"), ElementsAre(0, 1, 1, 0, 0, 0));
  EXPECT_THAT(values("words that end with punctuation"), ElementsAre(0, 0, 1, 1, 1, 0));
  EXPECT_THAT(values("the length of the word"), ElementsAre(3, 4, 5, 5, 2, 1));
  EXPECT_THAT(values("the position in the line"), ElementsAre(1, 2, 3, 4, 5, 0));
  EXPECT_THAT(values("being inside parentheses"), ElementsAre(0, 1, 1, 1, 0, 0));
  EXPECT_THAT(values("the word The"), ElementsAre(1, 0, 0, 0, 0, 0));
}

TEST(TokenProperties, OfBytesAreThoseOfAscii) {
  const auto properties = properties_of(times(20, "e\xc3\xa9\t"), TokenKind::kByte);
  EXPECT_THAT(names_of(properties), ElementsAre("white space", "vowels", "the position in the word",
                                                "the byte 0xC3", "the byte 0xA9"));
  EXPECT_THAT(values_of(properties, "the byte 0xC3", 4), ElementsAre(0, 1, 0, 0));
}

TEST(TokenProperties, ClassCharactersAsUnicodeDoes) {
  const auto properties = properties_of(times(20, "\xc3\x89\xc3\xa9\xe2\x80\x94\xc2\xa0x"));
  EXPECT_THAT(values_of(properties, "capital letters", 5), ElementsAre(1, 0, 0, 0, 0));
  EXPECT_THAT(values_of(properties, "punctuation", 5), ElementsAre(0, 0, 1, 0, 0));
  EXPECT_THAT(values_of(properties, "white space", 5), ElementsAre(0, 0, 0, 1, 0));
  EXPECT_THAT(names_of(properties), Contains("the letter \xc3\xa9"));
}

TEST(TokenProperties, TypographicQuotationMarksOpenAndClose) {
  const auto properties = properties_of(times(20, "a\xe2\x80\x9c\xe2\x80\x9c.\xe2\x80\x9d."));
  EXPECT_THAT(values_of(properties, "being inside quotation marks", 6),
              ElementsAre(0, 1, 1, 1, 0, 0));
}

TEST(TokenProperties, AParagraphEndsWhatNothingCloses) {
  const auto properties = properties_of(times(20, "(a\nb\n\nc"));
  EXPECT_THAT(values_of(properties, "being inside parentheses", 7),
              ElementsAre(1, 1, 1, 1, 1, 0, 0));
}

TEST(TokenProperties, LongWordsStopCounting) {
  const auto properties = properties_of(times(20, "abcdefghijkl "));
  EXPECT_THAT(values_of(properties, "the position in the word", 13),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 0));
}

TEST(TokenProperties, WhatVariesTooLittleIsLeftOut) {
  // 9 times are too few, 10 are enough.
  EXPECT_THAT(names_of(properties_of(times(9, "a") + times(10, "b") + times(81, "c"))),
              ElementsAre("the letter c", "the letter b"));
  // 10 times are less than 1 % of 1001.
  EXPECT_THAT(names_of(properties_of(times(10, "b") + times(991, "c"))), IsEmpty());
  EXPECT_THAT(names_of(properties_of(times(9, "\nxy") + times(100, "xy"))),
              Not(Contains("the position in the line")));
  EXPECT_THAT(names_of(properties_of(times(10, "\nxy") + times(100, "xy"))),
              Contains("the position in the line"));
}

TEST(TokenProperties, UnknownTokensAreInNoClass) {
  const Vocab vocab({{"a", " "}});
  const auto tokens = torch::tensor({0, 1, 2}).repeat({20});
  const auto properties = token_properties(tokens, vocab);
  EXPECT_THAT(names_of(properties),
              ElementsAre("white space", "vowels", "the position in the word", "unknown tokens"));
  EXPECT_THAT(values_of(properties, "unknown tokens", 3), ElementsAre(1, 0, 0));
}

TEST(TokenProperties, RefusesWhatIsNoText) {
  thrown<Error>([] { token_properties(torch::tensor({0, 1}), Vocab()); });
  thrown<Error>([] { token_properties(torch::zeros({2, 2}, torch::kInt64), Vocab()); });
}

}  // namespace
}  // namespace unroll

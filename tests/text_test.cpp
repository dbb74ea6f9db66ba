#include "unroll/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temp_folder.h"
#include "thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Tokens = std::vector<std::string>;

Tokens tokens_of(std::string_view line, TokenKind kind) {
  Tokens tokens;
  tokenize_line(line, kind, [&](std::string_view token) { tokens.emplace_back(token); });
  return tokens;
}

TEST(Text, NamesAreParsedBack) {
  for (const auto kind : {TokenKind::kChar, TokenKind::kWord, TokenKind::kByte}) {
    EXPECT_EQ(parse_token_kind(to_string(kind)), kind);
  }
  for (const auto normalize : {Normalize::kLetters, Normalize::kNone}) {
    EXPECT_EQ(parse_normalize(to_string(normalize)), normalize);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_token_kind("chars"); }), HasSubstr("'chars'"));
  EXPECT_THAT(thrown<UsageError>([] { parse_normalize(""); }), HasSubstr("''"));
}

TEST(Text, LettersKeepsLettersAndSingleSpaces) {
  EXPECT_EQ(normalize_letters("  Don't -- stop "), "don t stop");
  EXPECT_EQ(normalize_letters("AZaz\r"), "azaz");
  EXPECT_EQ(normalize_letters("caf\xc3\xa9s"), "caf s");
  EXPECT_EQ(normalize_letters("[@`{ 12"), "");
  EXPECT_EQ(normalize_letters(""), "");
}

TEST(Text, ReadTimeMachineKeepsEmptyLines) {
  const TempFolder folder;
  const auto file = folder.write("text.txt", "The Time\r\n\n***\nMachine");
  EXPECT_THAT(read_time_machine(file), ElementsAre("the time", "", "", "machine"));
}

TEST(Text, LinesCarryTheirOffsetAndWhetherTheyEnd) {
  std::vector<std::tuple<std::string, int64_t, bool>> lines;
  const auto sink = [&](const Line& line) {
    lines.emplace_back(line.text, line.offset, line.terminated);
  };
  split_lines("ab\n\ncd", sink);
  EXPECT_THAT(lines, ElementsAre(std::tuple("ab", 0, true), std::tuple("", 3, true),
                                 std::tuple("cd", 4, false)));
  lines.clear();
  split_lines("ab\n", sink);
  EXPECT_THAT(lines, ElementsAre(std::tuple("ab", 0, true)));
}

TEST(Text, LinesLongerThanABlockStayWhole) {
  const TempFolder folder;
  const std::string first(1500000, 'a');
  const std::string second((std::size_t{1} << 20) - 1, 'b');
  std::vector<std::pair<std::size_t, int64_t>> lines;
  read_lines(folder.write("long.txt", first + "\n" + second + "\nc"), false,
             [&](const Line& line) { lines.emplace_back(line.text.size(), line.offset); });
  EXPECT_THAT(lines, ElementsAre(std::pair(1500000U, 0), std::pair(second.size(), 1500001),
                                 std::pair(1U, 1500001 + (1 << 20))));
}

TEST(Text, TokensByCharacterAreCodePoints) {
  EXPECT_THAT(tokens_of("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ", TokenKind::kChar),
              ElementsAre("a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", " "));
}

TEST(Text, InvalidUtf8IsAnErrorThatNamesTheByte) {
  for (const std::string bad :
       {"\xff", "\xc3", "\xc3(", "\x80", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"}) {
    EXPECT_THAT(thrown<Error>([&] { tokens_of("abc" + bad, TokenKind::kChar); }),
                HasSubstr("byte 3 "));
  }
}

TEST(Text, TokensByByteTakeAnything) {
  EXPECT_THAT(tokens_of("a\xff\xc3", TokenKind::kByte), ElementsAre("a", "\xff", "\xc3"));
}

TEST(Text, TokensByWordAreRunsWithoutSpace) {
  EXPECT_THAT(tokens_of("  the\ttime\r machine ", TokenKind::kWord),
              ElementsAre("the", "time", "machine"));
  EXPECT_TRUE(tokens_of(" \t", TokenKind::kWord).empty());
}

TEST(Text, TokenizeGivesOneListALine) {
  EXPECT_THAT(tokenize({"a bc", ""}), ElementsAre(Tokens{"a", "bc"}, Tokens{}));
  EXPECT_THAT(tokenize({"a b"}, TokenKind::kChar), ElementsAre(Tokens{"a", " ", "b"}));
}

TEST(Text, FilesThatAreNoTextAreErrorsThatNameThem) {
  const TempFolder folder;
  const auto read = [](const std::filesystem::path& path, bool binary = false) {
    read_lines(path, binary, [](const Line&) {});
  };
  EXPECT_THAT(thrown<Error>([&] { read(folder / "missing.txt"); }), HasSubstr("missing.txt"));
  EXPECT_THAT(thrown<Error>([&] { read(folder.path()); }), HasSubstr("is a directory"));
  EXPECT_THAT(thrown<Error>([&] { read(folder.write("empty.txt", "")); }),
              AllOf(HasSubstr("empty.txt"), HasSubstr("is empty")));
  const auto binary = folder.write("binary.txt", std::string("ab\n\0c", 5));
  EXPECT_THAT(thrown<Error>([&] { read(binary); }),
              AllOf(HasSubstr("binary.txt"), HasSubstr("offset 3")));
  EXPECT_NO_THROW(read(binary, true));
}

}  // namespace
}  // namespace unroll

#include "unroll/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/temp_folder.h"
#include "support/thrown.h"
#include "text/read_tokens.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Text, NamesAreParsedBack) {
  for (const auto kind : {TokenKind::kChar, TokenKind::kWord, TokenKind::kByte}) {
    EXPECT_EQ(parse_enum<TokenKind>(to_string(kind)), kind);
  }
  for (const auto normalize : {Normalize::kLetters, Normalize::kNone}) {
    EXPECT_EQ(parse_enum<Normalize>(to_string(normalize)), normalize);
  }
  for (const auto invalid : {InvalidUtf8::kRefuse, InvalidUtf8::kReplace}) {
    EXPECT_EQ(parse_enum<InvalidUtf8>(to_string(invalid)), invalid);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<InvalidUtf8>("skip"); }), HasSubstr("'skip'"));
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<TokenKind>("chars"); }), HasSubstr("'chars'"));
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<Normalize>(""); }), HasSubstr("''"));
}

TEST(Text, LettersKeepsLettersAndSingleSpaces) {
  EXPECT_EQ(normalize_letters("  Don't -- stop "), "don t stop");
  EXPECT_EQ(normalize_letters("AZaz\r"), "azaz");
  EXPECT_EQ(normalize_letters("caf\xc3\xa9s"), "caf s");
  EXPECT_EQ(normalize_letters("[@`{ 12"), "");
  EXPECT_EQ(normalize_letters(""), "");
}

TEST(Text, TheBeginningOfATextIsReadAsTheTextAndKeepsTheGapAfterItsLastWord) {
  const auto letters = [](std::string_view text) { return normalize_beginning(text, {}); };
  EXPECT_EQ(letters("The Time-Traveller, 1895: "), "the time traveller ");
  EXPECT_EQ(letters("  the"), "the");
  EXPECT_EQ(letters("One\nTwo"), "onetwo");  // as the notebook joins lines
  EXPECT_EQ(letters("One.\n"), "one");
  EXPECT_EQ(letters("7, 8"), "");
  EXPECT_EQ(normalize_beginning("one.\nTwo -", {.tokens = TokenKind::kWord}), "one two ");
  EXPECT_EQ(normalize_beginning("\xef\xbb\xbf"
                                "e\xcc\x81\r\nB ",
                                kCharacters),
            "\xc3\xa9\nB ");
  EXPECT_EQ(normalize_beginning("a\xff", kReplacing), "a\xef\xbf\xbd");
  EXPECT_THAT(thrown<InvalidUtf8Error>([&] { letters("a\xff"); }), HasSubstr("byte 1 (0xff)"));
}

TEST(Text, LinesEndAtLfCrLfOrCrWhereverATextIsCut) {
  const std::string text = "one\r\n\rtwo\n\nthree\r\r\nfour";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    std::vector<std::string> lines;
    const auto add = [&](std::string_view line) { lines.emplace_back(line); };
    LineCutter cutter;
    for (std::size_t at = 0; at < text.size(); at += size) {
      cutter.feed(std::string_view(text).substr(at, size), add);
    }
    cutter.finish(add);
    EXPECT_THAT(lines, ElementsAre("one", "", "two", "", "three", "", "four"))
        << "pieces of " << size;
  }
}

TEST(Text, ReadTimeMachineKeepsEmptyLines) {
  const TempFolder folder;
  const auto file = folder.write("text.txt", "The Time\r\n\n***\rMachine");
  EXPECT_THAT(read_time_machine(file), ElementsAre("the time", "", "", "machine"));
}

TEST(Text, ReadTimeMachineNamesTheLineThatIsNoUtf8) {
  const TempFolder folder;
  const auto file = folder.write("latin1", "one\ncaf\xe9\n");
  EXPECT_THAT(thrown<InvalidUtf8Error>([&] { read_time_machine(file); }),
              HasSubstr("latin1: line 2: byte 3 (0xe9)"));
}

TEST(Text, BlocksAreTheWholeFile) {
  const TempFolder folder;
  const std::string text = std::string(1500000, 'a') + "\n" + std::string(1 << 20, 'b');
  std::string read;
  read_blocks(folder.write("long.txt", text), NulBytes::kRefuse,
              [&](std::string_view block) { read.append(block); });
  EXPECT_TRUE(read == text);
}

TEST(Text, BetweenTwoWordsOfALineStandsASpace) {
  EXPECT_EQ(gap_between("one", "two", TokenKind::kWord), " ");
  EXPECT_EQ(gap_between("one", "\n", TokenKind::kWord), "");
  EXPECT_EQ(gap_between("one\n", "two", TokenKind::kWord), "");
  EXPECT_EQ(gap_between("", "two", TokenKind::kWord), "");
  EXPECT_EQ(gap_between("o", "n", TokenKind::kChar), "");
}

TEST(Text, FilesThatAreNoTextAreErrorsThatNameThem) {
  const TempFolder folder;
  const auto read = [](const std::filesystem::path& path, NulBytes nul = NulBytes::kRefuse) {
    read_blocks(path, nul, [](std::string_view) {});
  };
  EXPECT_THAT(thrown<Error>([&] { read(folder / "missing.txt"); }), HasSubstr("missing.txt"));
  EXPECT_THAT(thrown<Error>([&] { read(folder.path()); }), HasSubstr("is a directory"));
  EXPECT_THAT(thrown<Error>([&] { read(folder.write("empty.txt", "")); }),
              AllOf(HasSubstr("empty.txt"), HasSubstr("is empty")));
  const auto binary = folder.write("binary.txt", std::string("ab\n\0c", 5));
  EXPECT_THAT(thrown<Error>([&] { read(binary); }),
              AllOf(HasSubstr("binary.txt"), HasSubstr("offset 3")));
  EXPECT_NO_THROW(read(binary, NulBytes::kAllow));
}

TEST(Text, OtherEncodingsAreNamed) {
  const TempFolder folder;
  using namespace std::string_literals;
  for (const auto& [start, encoding] :
       {std::pair{"\xff\xfe"
                  "a\0"s,
                  "UTF-16"},
        std::pair{"\xfe\xff\0a"s, "UTF-16"}, std::pair{"\xff\xfe\0\0a\0\0\0"s, "UTF-32"},
        std::pair{"\0\0\xfe\xff\0\0\0a"s, "UTF-32"}}) {
    const auto file = folder.write("foreign.txt", start);
    const auto read = [&](NulBytes nul) { read_blocks(file, nul, [](std::string_view) {}); };
    EXPECT_THAT(thrown<Error>([&] { read(NulBytes::kRefuse); }),
                AllOf(HasSubstr("foreign.txt"), HasSubstr(encoding), HasSubstr("UTF-8")));
    EXPECT_NO_THROW(read(NulBytes::kAllow));
  }
}

TEST(Text, SeveralFilesAreReadInOrderAndReported) {
  const TempFolder folder;
  const std::vector paths{folder.write("one", std::string(1 << 20, '1')), folder.write("two", "2")};
  std::vector<std::string> read(2);
  std::vector<ReadProgress> reports;
  read_blocks(
      paths, NulBytes::kRefuse,
      [&](std::size_t file, std::string_view block) { read.at(file).append(block); },
      [&](const ReadProgress& progress) { reports.push_back(progress); });
  EXPECT_EQ(read[0], std::string(1 << 20, '1'));
  EXPECT_EQ(read[1], "2");
  ASSERT_GE(reports.size(), 2U);
  EXPECT_EQ(reports.front().name, paths[0].string());
  EXPECT_EQ(reports.back().name, paths[1].string());
  EXPECT_EQ(reports.back().bytes, (1 << 20) + 1);
  EXPECT_EQ(reports.front().total_bytes, (1 << 20) + 1);
  EXPECT_EQ(text_name(paths), paths[0].string() + ", " + paths[1].string());
  EXPECT_EQ(text_name("-"), "standard input");
}

}  // namespace
}  // namespace unroll

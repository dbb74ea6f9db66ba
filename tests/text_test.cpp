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

TEST(Text, TokensDoNotDependOnWhereBlocksAreCut) {
  const std::string text =
      "Ab  \xc3\xa9t\xc3\xa9 -- \xf0\x9f\x98\x80"
      "c\n\n 12\nx";
  for (const auto normalize : {Normalize::kLetters, Normalize::kNone}) {
    for (const auto kind : {TokenKind::kChar, TokenKind::kWord, TokenKind::kByte}) {
      const auto tokens_in_blocks_of = [&](std::size_t size) {
        Tokens tokens;
        Tokenizer tokenizer({.normalize = normalize, .tokens = kind},
                            [&](std::string_view token) { tokens.emplace_back(token); });
        for (std::size_t at = 0; at < text.size(); at += size) {
          tokenizer.feed(std::string_view(text).substr(at, size));
        }
        tokenizer.finish();
        return tokens;
      };
      const auto whole = tokens_in_blocks_of(text.size());
      EXPECT_GT(whole.size(), 3U);
      for (std::size_t size = 1; size < 8; ++size) {
        EXPECT_EQ(tokens_in_blocks_of(size), whole) << "blocks of " << size;
      }
    }
  }
}

TEST(Text, BlocksAreTheWholeFile) {
  const TempFolder folder;
  const std::string text = std::string(1500000, 'a') + "\n" + std::string(1 << 20, 'b');
  std::string read;
  read_blocks(folder.write("long.txt", text), NulBytes::kRefuse,
              [&](std::string_view block) { read.append(block); });
  EXPECT_TRUE(read == text);
}

TEST(Text, WordsMustBeUtf8Too) {
  EXPECT_THAT(thrown<Error>([] { tokens_of("un caf\xe9", TokenKind::kWord); }),
              HasSubstr("byte 6 "));
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

}  // namespace
}  // namespace unroll

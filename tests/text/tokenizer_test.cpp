#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "support/thrown.h"
#include "text/read_tokens.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Tokenizer, TokensDoNotDependOnWhereBlocksAreCut) {
  const std::string text =
      "\xef\xbb\xbf"
      "Ab  \xc3\xa9te\xcc\x81 -- \xf0\x9f\x98\x80"
      "c\r\n\n 12\r\r\nx\xf0\x9f\x98!\xff\r";
  for (const auto normalize : {Normalize::kLetters, Normalize::kNone}) {
    for (const auto kind : {TokenKind::kChar, TokenKind::kWord, TokenKind::kByte}) {
      const TextOptions options{normalize, kind, InvalidUtf8::kReplace};
      const auto whole = tokens_of_files({text}, options, text.size());
      EXPECT_GT(whole.size(), 3U);
      for (std::size_t size = 1; size < 8; ++size) {
        EXPECT_EQ(tokens_of_files({text}, options, size), whole) << "blocks of " << size;
      }
    }
  }
}

TEST(Tokenizer, LineEndsAreOneCharacterAndAByteOrderMarkIsNone) {
  EXPECT_EQ(read({"\xef\xbb\xbf"
                  "a\r\nb\rc\r\r\nd\r"}),
            "a\nb\nc\n\nd\n");
  EXPECT_EQ(read({"a\xef\xbb\xbf"
                  "b"}),
            "a\xef\xbb\xbf"
            "b");
  const TextOptions words{Normalize::kNone, TokenKind::kWord};
  EXPECT_THAT(tokens_of_files({"\xef\xbb\xbf"
                               "to be\r\nor"},
                              words, 5),
              ElementsAre("to", "be", "\n", "or"));
  const TextOptions bytes{Normalize::kNone, TokenKind::kByte};
  EXPECT_EQ(read({"\xef\xbb\xbf"
                  "e\xcc\x81\r\n\xff"},
                 bytes),
            "\xef\xbb\xbf"
            "e\xcc\x81\r\n\xff");
}

TEST(Tokenizer, FilesAreReadAsOneTextEachWithItsOwnMark) {
  const std::string mark = "\xef\xbb\xbf";
  EXPECT_EQ(read({mark + "one", mark + "two\r", "\n"}), "onetwo\n\n");
  EXPECT_EQ(read({"e", "\xcc\x81"}), "\xc3\xa9");
  EXPECT_THAT(tokens_of_files({"no", "thing more"}, {Normalize::kNone, TokenKind::kWord}, 3),
              ElementsAre("nothing", "more"));
  EXPECT_THAT(tokens_of_files({"No", "-thing"}, {Normalize::kLetters, TokenKind::kWord}, 3),
              ElementsAre("no", "thing"));
  // A code point does not go on in the next file, and offsets begin again.
  EXPECT_EQ(read({"a\xc3", "\xa9"}, kReplacing), "a\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_THAT(thrown<InvalidUtf8Error>([] {
                read({"long enough", "ab\xff"});
              }),
              HasSubstr("byte 2 (0xff)"));
  EXPECT_THAT(thrown<InvalidUtf8Error>([] { read({"abc\xe2\x82"}); }), HasSubstr("byte 3 (0xe2)"));
}

// The example of the Unicode Standard, table 3-8, and those of tables 3-9 to 3-11.
TEST(Tokenizer, EachMaximalSubpartIsReplacedOnce) {
  const auto readable = [](std::string bytes) {
    std::string text;
    for (const auto& token : tokens_of_files({std::move(bytes)}, kReplacing, 1)) {
      text += token == "\xef\xbf\xbd" ? "?" : token;
    }
    return text;
  };
  EXPECT_EQ(readable("a\xf1\x80\x80\xe1\x80\xc2"
                     "b\x80"
                     "c\x80\xbf"
                     "d"),
            "a???b?c??d");
  EXPECT_EQ(readable("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82"
                     "A"),
            "????????A");
  EXPECT_EQ(readable("\xed\xa0\x80\xed\xbf\xbf\xed\xaf"
                     "A"),
            "????????A");
  EXPECT_EQ(readable("\xf4\x91\x92\x93\xff"
                     "A\x80\xbf"
                     "B"),
            "?????A??B");
  EXPECT_EQ(readable("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
                     "A"),
            "????A");
  EXPECT_EQ(readable("A\xf0\x9f\x98"), "A?");
}

TEST(Tokenizer, PromptsFindCharactersHoweverTheyAreComposed) {
  EXPECT_EQ(tokens_of("e\xcc\x81", TokenKind::kChar), tokens_of("\xc3\xa9", TokenKind::kChar));
  EXPECT_EQ(tokens_of("e\xcc\x81t", TokenKind::kWord), tokens_of("\xc3\xa9t", TokenKind::kWord));
}

TEST(Tokenizer, WordsMustBeUtf8Too) {
  EXPECT_THAT(thrown<InvalidUtf8Error>([] { tokens_of("un caf\xe9", TokenKind::kWord); }),
              HasSubstr("byte 6 "));
}

TEST(Tokenizer, TokensByCharacterAreCodePoints) {
  EXPECT_THAT(tokens_of("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ", TokenKind::kChar),
              ElementsAre("a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", " "));
}

TEST(Tokenizer, InvalidUtf8IsAnErrorThatNamesTheByte) {
  for (const std::string bad :
       {"\xff", "\xc3", "\xc3(", "\x80", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"}) {
    EXPECT_THAT(thrown<InvalidUtf8Error>([&] { tokens_of("abc" + bad, TokenKind::kChar); }),
                HasSubstr("byte 3 "));
  }
}

TEST(Tokenizer, LettersMustBeUtf8TooThoughLittleOfItStays) {
  TextOptions letters;
  const std::string valid = "caf\xc3\xa9s, the \xe6\x99\x82 of 16 bytes \xf0\x9f\x95\xb0 clock";
  const std::string latin1 = "The time traveller, caf\xe9s";
  for (const std::size_t block : {1, 2, 3, 7, 1000}) {
    EXPECT_EQ(read({valid}, letters, block), "caf s the of bytes clock") << block;
    EXPECT_EQ(thrown<InvalidUtf8Error>([&] {
                read({"fine", latin1}, letters, block);
              }),
              "byte 23 (0xe9) is not valid UTF-8")
        << block;
    // Its end is missing, and the next file's start does not bring it.
    EXPECT_THAT(thrown<InvalidUtf8Error>([&] {
                  read({"caf\xc3", "\xa9"}, letters, block);
                }),
                HasSubstr("byte 3 (0xc3)"));
  }
  letters.invalid_utf8 = InvalidUtf8::kReplace;
  EXPECT_EQ(read({latin1}, letters), "the time traveller caf s");
}

TEST(Tokenizer, TokensByByteTakeAnything) {
  EXPECT_THAT(tokens_of("a\xff\xc3", TokenKind::kByte), ElementsAre("a", "\xff", "\xc3"));
}

TEST(Tokenizer, TokensByWordAreRunsWithoutSpace) {
  EXPECT_THAT(tokens_of("  the\ttime\r machine ", TokenKind::kWord),
              ElementsAre("the", "time", "\n", "machine"));
  EXPECT_TRUE(tokens_of(" \t", TokenKind::kWord).empty());
}

TEST(Tokenizer, TokenizeGivesOneListALine) {
  EXPECT_THAT(tokenize({"a bc", ""}), ElementsAre(Tokens{"a", "bc"}, Tokens{}));
  EXPECT_THAT(tokenize({"a b"}, TokenKind::kChar), ElementsAre(Tokens{"a", " ", "b"}));
}

}  // namespace
}  // namespace unroll

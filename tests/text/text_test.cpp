#include "unroll/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <random>

#include "support/temp_folder.h"
#include "support/thrown.h"
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

const TextOptions kCharacters{.normalize = Normalize::kNone};
const TextOptions kReplacing{.normalize = Normalize::kNone, .invalid_utf8 = InvalidUtf8::kReplace};

// The tokens of files, each fed in blocks of `size` bytes.
Tokens tokens_of_files(const std::vector<std::string>& files, const TextOptions& options,
                       std::size_t size) {
  Tokens tokens;
  Tokenizer tokenizer(options, [&](std::string_view token) { tokens.emplace_back(token); });
  for (const auto& file : files) {
    for (std::size_t at = 0; at < file.size(); at += size) {
      tokenizer.feed(std::string_view(file).substr(at, size));
    }
    tokenizer.end_file();
  }
  tokenizer.finish();
  return tokens;
}

// What a text becomes by character, the tokens joined.
std::string read(const std::vector<std::string>& files, const TextOptions& options = kCharacters,
                 std::size_t block = 1000) {
  std::string text;
  for (const auto& token : tokens_of_files(files, options, block)) {
    text += token;
  }
  return text;
}

std::string nfc(const std::string& text) {
  auto* composed = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
  std::string result(reinterpret_cast<const char*>(composed));
  std::free(composed);
  return result;
}

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

TEST(Text, TokensDoNotDependOnWhereBlocksAreCut) {
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

TEST(Text, StreamedTokensAreFormCOfTheWhole) {
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

TEST(Text, EveryCodePointIsInFormCByItselfAndBetweenLetters) {
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

TEST(Text, EndlessMarksAreComposedThirtyAtATime) {
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

TEST(Text, LineEndsAreOneCharacterAndAByteOrderMarkIsNone) {
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

TEST(Text, FilesAreReadAsOneTextEachWithItsOwnMark) {
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
TEST(Text, EachMaximalSubpartIsReplacedOnce) {
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

TEST(Text, PromptsFindCharactersHoweverTheyAreComposed) {
  EXPECT_EQ(tokens_of("e\xcc\x81", TokenKind::kChar), tokens_of("\xc3\xa9", TokenKind::kChar));
  EXPECT_EQ(tokens_of("e\xcc\x81t", TokenKind::kWord), tokens_of("\xc3\xa9t", TokenKind::kWord));
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
  EXPECT_THAT(thrown<InvalidUtf8Error>([] { tokens_of("un caf\xe9", TokenKind::kWord); }),
              HasSubstr("byte 6 "));
}

TEST(Text, TokensByCharacterAreCodePoints) {
  EXPECT_THAT(tokens_of("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ", TokenKind::kChar),
              ElementsAre("a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", " "));
}

TEST(Text, InvalidUtf8IsAnErrorThatNamesTheByte) {
  for (const std::string bad :
       {"\xff", "\xc3", "\xc3(", "\x80", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"}) {
    EXPECT_THAT(thrown<InvalidUtf8Error>([&] { tokens_of("abc" + bad, TokenKind::kChar); }),
                HasSubstr("byte 3 "));
  }
}

TEST(Text, LettersMustBeUtf8TooThoughLittleOfItStays) {
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

TEST(Text, BetweenTwoWordsOfALineStandsASpace) {
  EXPECT_EQ(gap_between("one", "two", TokenKind::kWord), " ");
  EXPECT_EQ(gap_between("one", "\n", TokenKind::kWord), "");
  EXPECT_EQ(gap_between("one\n", "two", TokenKind::kWord), "");
  EXPECT_EQ(gap_between("", "two", TokenKind::kWord), "");
  EXPECT_EQ(gap_between("o", "n", TokenKind::kChar), "");
}

TEST(Text, TokensByByteTakeAnything) {
  EXPECT_THAT(tokens_of("a\xff\xc3", TokenKind::kByte), ElementsAre("a", "\xff", "\xc3"));
}

TEST(Text, TokensByWordAreRunsWithoutSpace) {
  EXPECT_THAT(tokens_of("  the\ttime\r machine ", TokenKind::kWord),
              ElementsAre("the", "time", "\n", "machine"));
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

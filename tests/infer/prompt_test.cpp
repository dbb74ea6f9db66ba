#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Vocab kLetters = Vocab::from_tokens({"<unk>", "a", "b", "c", "d"}, TokenKind::kChar);

TEST(Prompt, IsNormalisedAsTheText) {
  EXPECT_EQ(normalize_prompt("Time Traveller", Normalize::kLetters), "time traveller");
  EXPECT_EQ(normalize_prompt("time ", Normalize::kLetters), "time ");
  EXPECT_EQ(normalize_prompt("Time", Normalize::kNone), "Time");
}

TEST(Prompt, AStopStringIsWrittenAsTheTextIs) {
  EXPECT_EQ(normalize_stop("THE End", Normalize::kLetters, TokenKind::kChar), "the end");
  EXPECT_EQ(normalize_stop("THE e\xcc\x81\r\n", Normalize::kNone, TokenKind::kWord),
            "THE \xc3\xa9\n");
  EXPECT_EQ(normalize_stop("e\xcc\x81\xff", Normalize::kNone, TokenKind::kByte), "e\xcc\x81\xff");
  EXPECT_THAT(
      thrown<UsageError>([] { normalize_stop("a\xff", Normalize::kNone, TokenKind::kChar); }),
      HasSubstr("stop 'a\xff': byte 1"));
  for (const char* nothing : {"", "\xef\xbb\xbf"}) {
    EXPECT_THAT(
        thrown<UsageError>([&] { normalize_stop(nothing, Normalize::kNone, TokenKind::kChar); }),
        HasSubstr("at least one character"));
  }
}

TEST(Prompt, IsCheckedAgainstTheVocabulary) {
  EXPECT_NO_THROW(check_prompt("abc", kLetters));
  EXPECT_THAT(thrown<Error>([] { check_prompt("ab?", kLetters); }),
              AllOf(HasSubstr("'ab?'"), HasSubstr("'?'")));
  thrown<UsageError>([] { check_prompt("", kLetters); });
  thrown<UsageError>([] { check_prompt("  ", Vocab({}, 0, {}, TokenKind::kWord)); });
  thrown<UsageError>([] { check_prompt("a\xff", kLetters); });
}

TEST(Prompt, UnknownTokensAreAnErrorUnlessAllowed) {
  EXPECT_EQ(fit_prompt("AB", Normalize::kLetters, kLetters), "ab");
  EXPECT_THAT(thrown<Error>([] { fit_prompt("A?", Normalize::kLetters, kLetters); }),
              HasSubstr("'?'"));
}

TEST(Prompt, UnknownTokensAreLeftOut) {
  EXPECT_EQ(fit_prompt("?A, b", Normalize::kLetters, kLetters, UnknownTokens::kSkip), "ab");
  const auto words = Vocab::from_tokens({"<unk>", "to", "be", "\n"}, TokenKind::kWord);
  EXPECT_EQ(fit_prompt("or to  not be", Normalize::kNone, words, UnknownTokens::kSkip), "to be");
  EXPECT_THAT(
      thrown<Error>([] { fit_prompt("7?", Normalize::kLetters, kLetters, UnknownTokens::kSkip); }),
      AllOf(HasSubstr("'7?'"), HasSubstr("none")));
  thrown<UsageError>([] { fit_prompt("", Normalize::kLetters, kLetters, UnknownTokens::kSkip); });
}

TEST(Prompt, UnknownTokensStayInTheTextThatIsReadAsUnk) {
  EXPECT_EQ(fit_prompt("A?", Normalize::kLetters, kLetters, UnknownTokens::kUnk), "a?");
  thrown<UsageError>([] { fit_prompt("", Normalize::kLetters, kLetters, UnknownTokens::kUnk); });
}

TEST(Prompt, WhatBecomesOfUnknownTokensIsReadByName) {
  for (const auto unknown : {UnknownTokens::kError, UnknownTokens::kSkip, UnknownTokens::kUnk}) {
    EXPECT_EQ(parse_enum<UnknownTokens>(to_string(unknown)), unknown);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<UnknownTokens>("drop"); }),
              AllOf(HasSubstr("error, skip or unk"), HasSubstr("'drop'")));
}

}  // namespace
}  // namespace unroll

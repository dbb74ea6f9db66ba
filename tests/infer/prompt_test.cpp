#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const TextOptions kAsItIs{.normalize = Normalize::kNone};
const Vocab kLetters = Vocab::from_tokens({"<unk>", "a", "b", "c", "d"}, TokenKind::kChar);

TEST(Prompt, IsReadAsTheTextWas) {
  const auto letters = make_corpus("the time traveller").vocab;
  EXPECT_EQ(fit_prompt("Time: Traveller!", {}, letters), "time traveller ");
  EXPECT_EQ(fit_prompt("THE  time\n", {}, letters), "the time");
  const auto as_it_is = make_corpus("Time\n", {.text = kAsItIs}).vocab;
  EXPECT_EQ(fit_prompt("Time\r\n", kAsItIs, as_it_is), "Time\n");
  EXPECT_THAT(thrown<Error>([&] { fit_prompt("time", kAsItIs, as_it_is); }), HasSubstr("'t'"));
  const TextOptions replacing{.normalize = Normalize::kNone, .invalid_utf8 = InvalidUtf8::kReplace};
  const auto with_replacement = make_corpus("caf\xe9", {.text = replacing}).vocab;
  EXPECT_EQ(fit_prompt("f\xff", replacing, with_replacement), "f\xef\xbf\xbd");
}

TEST(Prompt, OfWhichNothingIsReadIsRefused) {
  EXPECT_EQ(thrown<Error>([] { fit_prompt("7, 8", {}, kLetters, UnknownTokens::kUnk); }),
            "prompt '7, 8': has no letter A-Z, and all else is read as a space");
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

TEST(Prompt, AStopStringThatNoTextHasIsRefused) {
  EXPECT_EQ(
      thrown<UsageError>([] { normalize_stop("The end.", Normalize::kLetters, TokenKind::kChar); }),
      "stop 'The end.': the model writes only letters a-z and spaces, so never this");
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
  EXPECT_EQ(fit_prompt("AB", {}, kLetters), "ab");
  EXPECT_THAT(thrown<Error>([] { fit_prompt("Axe", {}, kLetters); }), HasSubstr("'x'"));
  EXPECT_THAT(thrown<Error>([] { fit_prompt("a?", kAsItIs, kLetters); }), HasSubstr("'?'"));
}

TEST(Prompt, UnknownTokensAreLeftOut) {
  EXPECT_EQ(fit_prompt("?A, xb", {}, kLetters, UnknownTokens::kSkip), "ab");
  const auto words = Vocab::from_tokens({"<unk>", "to", "be", "\n"}, TokenKind::kWord);
  const TextOptions by_word{.normalize = Normalize::kNone, .tokens = TokenKind::kWord};
  EXPECT_EQ(fit_prompt("or to  not be", by_word, words, UnknownTokens::kSkip), "to be");
  EXPECT_THAT(thrown<Error>([] { fit_prompt("7?", kAsItIs, kLetters, UnknownTokens::kSkip); }),
              AllOf(HasSubstr("'7?'"), HasSubstr("none")));
  thrown<UsageError>([] { fit_prompt("", {}, kLetters, UnknownTokens::kSkip); });
}

TEST(Prompt, UnknownTokensStayInTheTextThatIsReadAsUnk) {
  EXPECT_EQ(fit_prompt("a?", kAsItIs, kLetters, UnknownTokens::kUnk), "a?");
  thrown<UsageError>([] { fit_prompt("", {}, kLetters, UnknownTokens::kUnk); });
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

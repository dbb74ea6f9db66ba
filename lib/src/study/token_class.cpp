#include "study/token_class.h"

#include <utf8proc.h>

#include "base/formatted.h"
#include "text/utf8.h"

namespace unroll {
namespace {

// The first code point; -1 of no text.
int32_t first_of(std::string_view token) {
  return token.empty() ? -1 : first_unit(token).code_point;
}

int32_t last_of(std::string_view token) {
  int32_t last = -1;
  for (; !token.empty(); token.remove_prefix(first_unit(token).size)) {
    last = first_of(token);
  }
  return last;
}

bool is_vowel(std::string_view token) {
  return token.size() == 1 && std::string_view("aeiouAEIOU").find(token) != token.npos;
}

bool is_capital(std::string_view token) {
  return utf8proc_category(first_of(token)) == UTF8PROC_CATEGORY_LU;
}

bool is_digit(std::string_view token) {
  return utf8proc_category(first_of(token)) == UTF8PROC_CATEGORY_ND;
}

bool is_mark(int32_t code_point) {
  const auto category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool begins_with_mark(std::string_view token) { return is_mark(first_of(token)); }

bool ends_with_mark(std::string_view token) { return is_mark(last_of(token)); }

constexpr TokenClass kOfCharacters[] = {
    {"white space", is_space},       {"line ends", is_line_end}, {"vowels", is_vowel},
    {"capital letters", is_capital}, {"digits", is_digit},       {"punctuation", begins_with_mark}};

constexpr TokenClass kOfWords[] = {{"line ends", is_line_end},
                                   {"words with a capital letter", is_capital},
                                   {"words that begin with a digit", is_digit},
                                   {"words that begin with punctuation", begins_with_mark},
                                   {"words that end with punctuation", ends_with_mark}};

}  // namespace

bool is_space(std::string_view token) {
  const auto code_point = first_of(token);
  const auto category = utf8proc_category(code_point);
  return (code_point >= '\t' && code_point <= '\r') ||
         (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP);
}

bool is_line_end(std::string_view token) { return token == "\n"; }

std::span<const TokenClass> token_classes(TokenKind kind) {
  return kind == TokenKind::kWord ? std::span<const TokenClass>(kOfWords) : kOfCharacters;
}

std::string name_of_token(std::string_view token, TokenKind kind) {
  if (token.empty()) {
    return "unknown tokens";
  }
  if (kind == TokenKind::kWord) {
    return formatted("the word {}", token);
  }
  const auto code_point = first_of(token);
  const auto category = utf8proc_category(code_point);
  if (kind == TokenKind::kByte && (token.front() < ' ' || token.front() > '~')) {
    return formatted("the byte 0x{:02X}", static_cast<unsigned char>(token.front()));
  }
  if (category >= UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_CN) {
    return formatted("the character U+{:04X}", code_point);
  }
  const bool is_letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
  return formatted("the {} {}",
                   is_letter         ? "letter"
                   : is_digit(token) ? "digit"
                                     : "character",
                   token);
}

}  // namespace unroll

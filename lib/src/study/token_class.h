#pragma once

#include <span>
#include <string>
#include <string_view>

#include "unroll/text.h"

namespace unroll {

/// Tokens that have something in common. A token is given as its text, empty for an unknown one,
/// which is in no class.
struct TokenClass {
  const char* name;  ///< `vowels`
  bool (*contains)(std::string_view token);
};

/// The classes of tokens of a kind. Characters are classed by Unicode's general category; a byte
/// outside ASCII is in no class. Vowels are a, e, i, o, u and their capitals.
std::span<const TokenClass> token_classes(TokenKind kind);

/// Whether a token begins with white space.
bool is_space(std::string_view token);

bool is_line_end(std::string_view token);

/// `the letter e`, `the word time`, `unknown tokens`: a token's name. A character or byte that
/// cannot be seen is named by its number: `the byte 0x0A`. Other text is as it is.
std::string name_of_token(std::string_view token, TokenKind kind);

}  // namespace unroll

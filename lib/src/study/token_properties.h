#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "unroll/vocab.h"

namespace unroll {

/// Something that a reader sees at each token of a text.
struct TokenProperty {
  std::string name = {};  ///< what a unit can follow: `vowels`, `the position in the word`
  std::vector<double> values = {};  ///< (N), after each token; 1 and 0 for yes and no
  bool needs_memory = false;        ///< whether earlier tokens decide it, not the last one alone
};

/// The properties of a text that vary enough to compare a unit with: at least 10 of its tokens, and
/// 1 %, have another value than the most frequent one.
///
/// By character and byte: white space, line ends, vowels (a, e, i, o, u), capital letters, digits,
/// punctuation; the position in the word, which is the number of tokens since white space, at most
/// 10. By word: line ends, words with a capital letter, that begin with a digit, that begin or end
/// with punctuation; the length of the word in characters.
///
/// Of all kinds: the position in the line, if the text has 10 line ends; being inside quotation
/// marks (" or typographic ones) and inside parentheses, each up to the end of the paragraph at
/// most; and each of the 30 most frequent tokens but white space.
///
/// Characters are classed as Unicode does; by byte, those of ASCII. A property that has the values
/// of an earlier one is left out.
///
/// tokens (N), indices in [0,V) of any integer dtype. Throws Error for another shape or index.
std::vector<TokenProperty> token_properties(const torch::Tensor& tokens, const Vocab& vocab);

}  // namespace unroll

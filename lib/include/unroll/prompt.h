#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unroll/text.h"
#include "unroll/vocab.h"

namespace unroll {

/// What becomes of a prompt's tokens that the vocabulary lacks.
enum class UnknownTokens {
  kError,  ///< the prompt is refused
  kSkip,   ///< they are left out
  kUnk,    ///< the model reads `<unk>` in their place; the text keeps them
};

/// The name that parse_unknown_tokens reads.
std::string_view to_string(UnknownTokens unknown);

/// `error`, `skip` or `unk`; throws UsageError otherwise.
UnknownTokens parse_unknown_tokens(std::string_view name);

/// The prompt's tokens. Throws UsageError when there is none or the prompt is not valid UTF-8.
std::vector<std::string> prompt_tokens(std::string_view prompt, TokenKind kind);

/// A prompt as the training text was written: lower case under Normalize::kLetters.
std::string normalize_prompt(std::string_view prompt, Normalize normalize);

/// A stop string as generated text is written: the same, and composed as its tokens are. Throws
/// UsageError when it is not valid UTF-8, unless by byte, or has no character.
std::string normalize_stop(std::string_view stop, Normalize normalize, TokenKind kind);

/// Throws UsageError when the prompt has no token, Error when a token is not in the vocabulary.
void check_prompt(std::string_view prompt, const Vocab& vocab);

/// The prompt as the model can read it: normalised, and without the unknown tokens under
/// UnknownTokens::kSkip. Throws as check_prompt does; under kSkip Error when nothing is left.
std::string fit_prompt(std::string_view prompt, Normalize normalize, const Vocab& vocab,
                       UnknownTokens unknown = UnknownTokens::kError);

}  // namespace unroll

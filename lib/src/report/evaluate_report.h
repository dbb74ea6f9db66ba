#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "unroll/evaluate.h"
#include "unroll/text.h"

namespace unroll {

/// The longest span that an evaluated text has from another.
struct CopyReport {
  CopiedSpan span;
  std::string source;  ///< the other text's file
  std::string text;    ///< of the span
};

/// An evaluation and its surroundings.
struct EvaluateReport {
  Evaluation result = {};                 ///< what the evaluation came to
  std::string text = {};                  ///< the file
  int64_t characters = 0;                 ///< of the predicted tokens, as Corpus counts them
  int64_t unknown = 0;                    ///< tokens of the text that the vocabulary lacks
  TokenKind tokens = TokenKind::kChar;    ///< what one token is
  std::optional<CopyReport> copied = {};  ///< if it was looked for

  double bits_per_character() const;
};

/// A few lines: perplexity, also without the unknown tokens, nats and bits a token, bits a
/// character (a byte where tokens are bytes), tokens, unknown tokens, the copied span.
std::string summary(const EvaluateReport& report);

/// One JSON object: perplexity, known_perplexity (without the unknown tokens), nats_per_token,
/// bits_per_token, bits_per_character, tokens (those predicted), characters, unknown, batch_size,
/// text, and copied {length, text_start, source_start, source, span} if it was looked for. Full
/// precision.
std::string to_json(const EvaluateReport& report);

}  // namespace unroll

#pragma once

#include <cstdint>
#include <string>

#include "unroll/evaluate.h"

namespace unroll {

/// One of several texts or lines, and how well it is predicted.
struct Score {
  Evaluation result = {};
  std::string text = {};     ///< the file
  int64_t line = 0;          ///< from 1; 0: the whole file
  std::string content = {};  ///< of the line
};

/// What the columns of score_row are.
std::string score_header();

/// A row with tabs between its columns: perplexity, nats, tokens predicted, of these unknown,
/// where, and the line. Without a token to predict the perplexity is `-`.
std::string score_row(const Score& score);

/// One JSON object: perplexity (null without a token to predict), known_perplexity, nats, tokens,
/// unknown, text, and of a line line and content. Full precision.
std::string to_json(const Score& score);

}  // namespace unroll

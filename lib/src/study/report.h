#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/compute.h"
#include "unroll/evaluate.h"
#include "unroll/study.h"
#include "unroll/text.h"
#include "unroll/train.h"

namespace unroll {

/// A training and its surroundings, for the reader or a program.
struct TrainReport {
  TrainResult result;         ///< what the training came to
  ModelConfig config;         ///< which model
  Compute effective;          ///< how it was computed
  std::string device;         ///< `cpu`, `cuda:0`
  int64_t vocab_size = 0;     ///< V
  int64_t tokens = 0;         ///< that are trained on
  int64_t unknown = 0;        ///< of these, how many are `<unk>`
  int64_t valid_tokens = 0;   ///< that are validated on
  int64_t valid_unknown = 0;  ///< of these, how many are `<unk>`
  int threads = 0;            ///< of the CPU
};

/// The notebook's line: `perplexity 1.0, 67212.6 tokens/s on cpu`, the last epoch's figures. After
/// a validation a second one: `validation perplexity 5.43, at best 5.20 after epoch 12`, and what
/// it is without the unknown tokens if there are any.
std::string summary(const TrainReport& report);

/// One JSON object: perplexity, tokens_per_second (median over epochs), device, epochs,
/// predictions, vocab_size, tokens, unknown, seconds, threads, model, compute, cell, hidden,
/// layers, precision; after a validation valid_perplexity, best_valid_perplexity, best_epoch,
/// valid_tokens, valid_unknown and, if that is not 0, valid_known_perplexity. Full precision.
std::string to_json(const TrainReport& report);

/// One JSON object: epoch, perplexity, tokens_per_second, grad_norm, seconds, lr; where there are
/// such, valid_perplexity, valid_known_perplexity and skipped (steps). Full precision.
std::string log_line(const EpochStats& stats);

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

/// A text that a model has written.
struct GeneratedReport {
  std::string prompt = {};  ///< as the model read it
  std::string text = {};    ///< the prompt and its continuation
  int64_t tokens = 0;       ///< taken
  double nats = 0;          ///< surprise of these, summed
  uint64_t seed = 0;        ///< of the draws
  int64_t sample = 0;       ///< which of the texts for the prompt, from 0
};

/// One JSON object: prompt, text, tokens, seed, sample, nats_per_token (null without a token).
std::string to_json(const GeneratedReport& report);

/// One token's surprise as a JSON object: position in the text (from 0), token (an integer where
/// tokens are bytes), index in the vocabulary, nats.
std::string surprise_line(int64_t position, std::string_view token, int64_t index, float nats,
                          TokenKind kind);

/// A comparison as a table with the predictions below it.
std::string table(const Comparison& comparison);

/// A comparison as one JSON object: differences (concise from scratch), fused_differences, models.
std::string to_json(const Comparison& comparison);

/// Measurements as a table: median and range of tokens/s, the ratio to the first row, GFLOP/s and
/// what share of the peak that is, the phases' shares of the time, peak memory.
std::string table(const std::vector<BenchRow>& rows);

/// Measurements as one JSON object: rows with all that the table shows and every epoch's tokens/s.
std::string to_json(const std::vector<BenchRow>& rows);

}  // namespace unroll

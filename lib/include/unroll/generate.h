#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/model.h"
#include "unroll/vocab.h"

namespace unroll {

/// How the next token is taken from the logits, and when a text ends.
///
/// The logits are divided by the temperature; of their softmax the top_k likeliest tokens are kept,
/// of these the nucleus top_p; one of them is drawn by its probability. Tokens that may not be
/// taken are left out before. A text ends early where no token is left.
struct GenerateOptions {
  /// 0: the most likely token, as in the notebook. Above: drawn from softmax(logits / temperature),
  /// so that 1 is what the model has learned and less keeps closer to the likely tokens.
  double temperature = 0;
  uint64_t seed = 0;  ///< of the draws
  int64_t top_k = 0;  ///< draw among the k likeliest tokens; 0 is off
  /// Draw among the fewest likeliest tokens whose probability reaches p, in (0, 1]; 1 is off
  /// (nucleus sampling, Holtzman et al. 2020, https://arxiv.org/abs/1904.09751).
  double top_p = 1;
  /// n: no token is taken that completes a run of n tokens which the text, its prefix included, has
  /// already; 0 is off. What keeps the most likely token from running in circles.
  int64_t no_repeat_ngram = 0;
  /// A text ends before the first of these that its continuation comes to, byte by byte: see
  /// normalize_stop.
  std::vector<std::string> stop;
  /// Whether `<unk>`, which is no text, may be taken.
  bool take_unk = false;
};

/// Throws UsageError unless every option is in range.
void check(const GenerateOptions& options);

/// Called with each next piece of the continuation of the prefix at index `sequence`: what one
/// token adds, or several once it is known that no stop string begins with them. By byte, a piece
/// may be part of a character.
using TextCallback = std::function<void(std::size_t sequence, std::string_view piece)>;

/// Continues several prefixes as one batch by `num_preds` tokens each, as predict_ch8 does, with
/// the tokens taken as `options` say. Returns prefixes and continuations.
///
/// The draws of the prefix at index i depend on the seed and on i alone: asking for more samples
/// leaves the first ones as they were. Throws UsageError as predict_ch8 does and for bad options,
/// Error when a token is to be drawn and the logits are not finite.
std::vector<std::string> generate(const std::vector<std::string>& prefixes, int64_t num_preds,
                                  SequenceModel& net, const Vocab& vocab,
                                  const GenerateOptions& options, const TextCallback& on_text = {});

}  // namespace unroll

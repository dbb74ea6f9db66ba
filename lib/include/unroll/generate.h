#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/model.h"
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

/// Continues `prefix` by `num_preds` tokens, as the notebook's `predict_ch8`: a batch of one is
/// warmed up on all of the prefix' tokens but the last, then the most likely token is fed back.
///
/// Returns prefix and predictions, joined as gap_between has it: words by a space. Tokens of the
/// prefix that the vocabulary lacks count as `<unk>`. Records no gradients.
/// Throws UsageError for an empty prefix or num_preds < 0.
std::string predict_ch8(std::string_view prefix, int64_t num_preds, SequenceModel& net,
                        const Vocab& vocab);

/// The same for several prefixes at once, as one batch. A fused model gives each the text that it
/// has alone; others may round otherwise in a batch, and then take another of two tokens that are
/// as good as equally likely.
std::vector<std::string> predict_ch8(const std::vector<std::string>& prefixes, int64_t num_preds,
                                     SequenceModel& net, const Vocab& vocab);

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

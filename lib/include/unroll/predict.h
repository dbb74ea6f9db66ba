#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/model.h"
#include "unroll/text.h"
#include "unroll/vocab.h"

namespace unroll {

/// Continues `prefix` by `num_preds` tokens, as the notebook's `predict_ch8`: a batch of one is
/// warmed up on all of the prefix' tokens but the last, then the most likely token is fed back.
///
/// Returns prefix and predictions, joined without a separator (words: by a space). Tokens of the
/// prefix that the vocabulary lacks count as `<unk>`. Records no gradients.
/// Throws UsageError for an empty prefix or num_preds < 0.
std::string predict_ch8(std::string_view prefix, int64_t num_preds, SequenceModel& net,
                        const Vocab& vocab);

/// The same for several prefixes at once, as one batch. A fused model gives each the text that it
/// has alone; others may round otherwise in a batch, and then take another of two tokens that are
/// as good as equally likely.
std::vector<std::string> predict_ch8(const std::vector<std::string>& prefixes, int64_t num_preds,
                                     SequenceModel& net, const Vocab& vocab);

/// How the next token is taken from the logits.
struct GenerateOptions {
  /// 0: the most likely token, as in the notebook. Above: drawn from softmax(logits / temperature),
  /// so that 1 is what the model has learned and less keeps closer to the likely tokens.
  double temperature = 0;
  uint64_t seed = 0;  ///< of the draws
};

/// Throws UsageError unless the temperature is finite and >= 0.
void check(const GenerateOptions& options);

/// predict_ch8 for several prefixes as one batch, with the tokens taken as `options` say.
///
/// The draws of the prefix at index i depend on the seed and on i alone: asking for more samples
/// leaves the first ones as they were. Throws UsageError as predict_ch8 does and for bad options,
/// Error when a token is to be drawn and the logits are not finite.
std::vector<std::string> generate(const std::vector<std::string>& prefixes, int64_t num_preds,
                                  SequenceModel& net, const Vocab& vocab,
                                  const GenerateOptions& options);

/// A prompt as the training text was written: lower case under Normalize::kLetters.
std::string normalize_prompt(std::string_view prompt, Normalize normalize);

/// Throws UsageError when the prompt has no token, Error when a token is not in the vocabulary.
void check_prompt(std::string_view prompt, const Vocab& vocab);

}  // namespace unroll

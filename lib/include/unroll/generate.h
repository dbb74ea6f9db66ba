#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/model.h"
#include "unroll/options.h"
#include "unroll/text.h"
#include "unroll/vocab.h"

#pragma GCC visibility push(default)
namespace unroll {

/// What happens to tokens of a prompt that the vocabulary lacks.
enum class UnknownTokens {
  kError,  ///< the prompt is refused
  kSkip,   ///< they are left out
  kUnk,    ///< the model reads `<unk>` in their place; the text keeps them
};
constexpr auto enum_names(UnknownTokens) {
  return enum_table<UnknownTokens>("unknown", {{UnknownTokens::kError, "error"},
                                               {UnknownTokens::kSkip, "skip"},
                                               {UnknownTokens::kUnk, "unk"}});
}

/// The prompt's tokens. Throws UsageError when there is none or the prompt is not valid UTF-8.
std::vector<std::string> prompt_tokens(std::string_view prompt, TokenKind kind);

/// A stop string, in lower case or composed as generated text is. Throws UsageError if it has no
/// character, has one that Normalize::kLetters leaves in no text, or, unless tokens are bytes, is
/// not valid UTF-8.
std::string normalize_stop(std::string_view stop, Normalize normalize, TokenKind kind);

/// Throws UsageError when the prompt has no token, Error when a token is not in the vocabulary.
void check_prompt(std::string_view prompt, const Vocab& vocab);

/// The prompt as the model can read it: read as its text was (normalize_beginning), and without the
/// unknown tokens under UnknownTokens::kSkip. Throws UsageError when it is empty or not valid UTF-8
/// where that is refused, Error when nothing is left of it, or, under kError, when a token is not
/// in the vocabulary.
std::string fit_prompt(std::string_view prompt, const TextOptions& options, const Vocab& vocab,
                       UnknownTokens unknown = UnknownTokens::kError);

/// Continues `prefix` by `num_preds` tokens, as the notebook's `predict_ch8`: a batch of one is
/// warmed up on all of the prefix' tokens but the last, then the most likely token is fed back.
///
/// Returns prefix and predictions, joined by gap_between: words by a space. Tokens of the
/// prefix that the vocabulary lacks count as `<unk>`. Records no gradients.
/// Throws UsageError for an empty prefix or num_preds < 0, Error for another model's vocabulary.
std::string predict_ch8(std::string_view prefix, int64_t num_preds, SequenceModel& net,
                        const Vocab& vocab);

/// The same for several prefixes at once, as one batch. The fused backend gives each the same text
/// as alone. The plain one may round differently in a batch, and then choose the other of two
/// tokens that are almost equally likely.
std::vector<std::string> predict_ch8(const std::vector<std::string>& prefixes, int64_t num_preds,
                                     SequenceModel& net, const Vocab& vocab);

/// The same for prefixes in braces: predict_ch8({"time ", "the "}, 50, net, vocab).
std::vector<std::string> predict_ch8(std::initializer_list<std::string_view> prefixes,
                                     int64_t num_preds, SequenceModel& net, const Vocab& vocab);

/// The same for a sequence that is no text: token ids in [0,V), at least one, without a vocabulary.
///
///     predict_ch8({0, 1, 1}, 5, net)  // {0, 1, 1, 2, 3, 5, 8, 13}, if net has learned to add
///
/// Throws Error for an id outside.
std::vector<int64_t> predict_ch8(const std::vector<int64_t>& prefix, int64_t num_preds,
                                 SequenceModel& net);

/// How the next token is taken from the logits, and when a text ends.
///
/// Tokens that may not be taken are left out. The logits are divided by the temperature. Of their
/// softmax the top_k likeliest tokens are kept, of these the nucleus top_p. One of them is drawn by
/// its probability. A text ends early if no token is left.
struct GenerateOptions {
  /// 0: the most likely token, as in the notebook. Above: drawn from softmax(logits / temperature),
  /// so that 1 is what the model has learned and less keeps closer to the likely tokens.
  double temperature = 0;
  uint64_t seed = 0;  ///< of the draws
  int64_t top_k = 0;  ///< draw among the k likeliest tokens; 0 is off
  /// Draw among the fewest likeliest tokens whose probability reaches p, in (0, 1]; 1 is off
  /// (nucleus sampling, Holtzman et al. 2020, https://arxiv.org/abs/1904.09751).
  double top_p = 1;
  /// n: no token is taken that completes a run of n tokens which the text, prefix included, already
  /// has; 0 is off. This keeps the most likely tokens from running in circles.
  int64_t no_repeat_ngram = 0;
  /// A text ends before the first of these in its continuation, byte by byte (see normalize_stop).
  std::vector<std::string> stop = {};
  /// The number of the first prefix: prefix i draws as one with the index first + i.
  int64_t first = 0;
  /// Whether `<unk>`, which is no text, may be taken. Token ids without a vocabulary have none.
  bool take_unk = false;

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.temperature,
          {"temperature", "T",
           "0: the most likely token; 1: draw as learned; between: closer to the likely tokens",
           at_least(0)});
    visit(self.top_k,
          {"top-k", "K", "draw among the K likeliest tokens; 0 is off", at_least(0, "0 is off")});
    visit(self.top_p,
          {"top-p", "P", "draw among the fewest tokens whose probability reaches P; 1 is off",
           above_to(0, 1)});
    visit(self.no_repeat_ngram,
          {"no-repeat-ngram", "N", "never repeat a run of N tokens of the text; 0 is off",
           at_least(0, "0 is off")});
    visit(self.seed,
          {"seed", "N", "seed of the draws; each line of --interactive takes the next seed"});
    visit(self.stop, {"stop", "TEXT", "end a text before this; repeatable"});
  }
};

/// Throws UsageError unless every option is in range.
void check(const GenerateOptions& options);

/// Called with each piece of the continuation of the prefix at index `sequence`: the text of one
/// token, or of several as soon as no stop string can begin with them. Where tokens are bytes, a
/// piece may be part of a character.
using TextCallback = std::function<void(std::size_t sequence, std::string_view piece)>;

/// Called with each token that is taken for the prefix at index `sequence`, and its surprise: -ln
/// of the probability that the model gave it, whatever temperature and limits it was taken by.
using TokenCallback = std::function<void(std::size_t sequence, int64_t token, double nats)>;

/// Continues several prefixes as one batch by `num_preds` tokens each, as predict_ch8 does, with
/// the tokens taken as `options` say. Returns prefixes and continuations.
///
/// The draws of the prefix at index i depend only on the seed and on first + i: asking for more
/// samples does not change the first ones. Throws UsageError as predict_ch8 does and for bad
/// options, Error when a token is to be drawn and the logits are not finite.
std::vector<std::string> generate(const std::vector<std::string>& prefixes, int64_t num_preds,
                                  SequenceModel& net, const Vocab& vocab,
                                  const GenerateOptions& options, const TextCallback& on_text = {},
                                  const TokenCallback& on_token = {});

/// The same for sequences that are no text: token ids in [0,V), without a vocabulary, of which each
/// may be taken. Throws UsageError for a prefix without a token or a stop string, Error for an id
/// outside.
std::vector<std::vector<int64_t>> generate(const std::vector<std::vector<int64_t>>& prefixes,
                                           int64_t num_preds, SequenceModel& net,
                                           const GenerateOptions& options = {},
                                           const TokenCallback& on_token = {});

}  // namespace unroll
#pragma GCC visibility pop

#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "unroll/model.h"
#include "unroll/options.h"
#include "unroll/ranks.h"

#pragma GCC visibility push(default)
namespace unroll {

/// Perplexity: exp of the mean cross-entropy, `nats` summed over `tokens` predicted tokens.
/// 1 is certainty, V is uniform guessing among V tokens, NaN means that no token was predicted.
double perplexity(double nats, int64_t tokens);

/// How a text is read by evaluate.
struct EvaluateOptions {
  /// B, rows that are read side by side, each of which begins without context; empty:
  /// default_batch_size of the text.
  std::optional<int64_t> batch_size = {};
  int64_t num_steps = 35;  ///< T, tokens of a row in one forward pass; the result is the same
  /// Processes that read the rows together, each some of them; none: this one alone. Every rank has
  /// the result of all rows, but sees the surprise of its own alone.
  std::shared_ptr<Ranks> ranks = {};

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.batch_size,
          {"batch-size", "B",
           "rows read side by side; each begins with a state of zeros (default: one for each 4096 "
           "tokens, at most 32)",
           from_to(1, 1 << 30)});
    visit(self.num_steps, {"num-steps", "T", "tokens of a row in one pass; the result is the same",
                           from_to(1, 1 << 30)});
  }
};

/// Throws UsageError unless every option is in range.
void check(const EvaluateOptions& options);

/// How well a model predicts a text.
struct Evaluation {
  double nats = 0;          ///< cross-entropy, summed over the predicted tokens
  int64_t tokens = 0;       ///< predicted: all of the text but the first
  double unknown_nats = 0;  ///< the part of `nats` that is of tokens which are `<unk>`
  int64_t unknown = 0;      ///< and how many of the predicted tokens these are
  int64_t rows = 0;         ///< that were read side by side

  /// exp of the cross-entropy a token.
  double perplexity() const;
  /// Cross-entropy a token.
  double nats_per_token() const;
  /// The same to the base 2.
  double bits_per_token() const;
  /// Of the tokens that the vocabulary has. A model predicts `<unk>` well only if it learned to.
  double known_perplexity() const;
};

/// Called with the surprise of the corpus' tokens first, first + 1, ...: -ln of the probability
/// that the model gave them, in nats. Each token but the corpus' first comes once, in no given
/// order.
using SurpriseCallback = std::function<void(int64_t first, std::span<const float> nats)>;

/// Cross-entropy of a model on a corpus (N) of an integer dtype. Every token but the first is
/// predicted once, from the tokens before it in its row. Records no gradients.
///
/// The corpus is cut into B rows that continue from batch to batch, so their state is carried over.
/// Tokens that do not fill B rows continue the last one. Each row begins with a state of zeros,
/// without context, so more rows are faster and give a slightly higher perplexity. With one row,
/// each token has the whole text before it.
///
/// Throws UsageError for options out of range; Error for a corpus of less than 2 tokens, and,
/// naming the token's position, when the model's logits are not finite.
Evaluation evaluate(SequenceModel& net, const torch::Tensor& corpus,
                    const EvaluateOptions& options = {}, const SurpriseCallback& on_surprise = {});

/// The same of each of several texts by itself, in one row that begins with a state of zeros; so
/// sentences can be ranked. B texts are read side by side (EvaluateOptions::batch_size, 32 unless
/// given), which changes no result. A text of less than 2 tokens has none to predict.
std::vector<Evaluation> evaluate_each(SequenceModel& net, const std::vector<torch::Tensor>& texts,
                                      const EvaluateOptions& options = {});

/// One row for each 4096 tokens, at most 32 and at least 1: few enough that the tokens read without
/// context do not matter. On a novel of 170,580 characters 32 rows cost an RNN 0.01 % of
/// perplexity.
int64_t default_batch_size(int64_t tokens);

/// A run of tokens that a sample and a source have in common.
struct CopiedSpan {
  int64_t length = 0;        ///< tokens; 0 when they have none in common
  int64_t sample_start = 0;  ///< position of its first token in the sample, where it first occurs
  int64_t source_start = 0;  ///< position of its first token in the source, where it first occurs
};

/// Finds the longest span of a sample that also occurs in a source, which streams by. This shows
/// how much of a generated text is copied from what the model was trained on.
///
/// A suffix automaton of the sample (Blumer et al. 1985,
/// https://doi.org/10.1016/0304-3975(85)90157-4) reads the source in time O(N log V) and in memory
/// for the sample alone. `<unk>` stands for many tokens, and therefore equals nothing.
///
///     CopiedSpanFinder finder(sample);
///     for (const auto& block : source) finder.feed(block);
///     finder.longest().length;
class CopiedSpanFinder {
 public:
  /// `sample`: token indices >= 0. Throws Error when it has 2^30 tokens or more.
  explicit CopiedSpanFinder(std::span<const int64_t> sample);
  ~CopiedSpanFinder();
  CopiedSpanFinder(const CopiedSpanFinder&) = delete;
  CopiedSpanFinder& operator=(const CopiedSpanFinder&) = delete;

  /// Reads the source's next tokens.
  void feed(std::span<const int64_t> source);

  /// The longest span so far; of several, the one that ends first in the source.
  const CopiedSpan& longest() const { return longest_; }

 private:
  class Automaton;

  std::unique_ptr<Automaton> automaton_;
  int32_t state_ = 0;     // that the source's last tokens lead to
  int64_t length_ = 0;    // of those tokens
  int64_t position_ = 0;  // in the source
  CopiedSpan longest_;
};

}  // namespace unroll
#pragma GCC visibility pop

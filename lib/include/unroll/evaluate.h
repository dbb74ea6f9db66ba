#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <span>

#include "unroll/model.h"

namespace unroll {

/// How a corpus is read by evaluate.
struct EvaluateOptions {
  int64_t batch_size = 32;  ///< B, rows that are read side by side; each begins without memory
  int64_t num_steps = 35;   ///< T, tokens of a row in one forward pass; the result is the same
};

/// Throws UsageError unless every option is in range.
void check(const EvaluateOptions& options);

/// What a model knows of a text.
struct Evaluation {
  double nats = 0;     ///< cross-entropy, summed over the predicted tokens
  int64_t tokens = 0;  ///< predicted: all of the corpus but the first

  double perplexity() const;
  double nats_per_token() const;
  double bits_per_token() const;
};

/// Called with the surprise, -ln of the probability that the model gave them, of the corpus' tokens
/// first, first + 1, ...; in nats. Each token but the corpus' first comes once, in no given order.
using SurpriseCallback = std::function<void(int64_t first, std::span<const float> nats)>;

/// Cross-entropy of a model on a corpus (N) of an integer dtype. Every token but the first is
/// predicted once, from the tokens before it in its row. Records no gradients.
///
/// The corpus is cut into B rows that go on from batch to batch, so that their state is carried;
/// what does not fill B rows goes on where the last one ends. Each row begins with a state of
/// zeros: it must find out anew where in the text it is, so that more rows are faster and show a
/// slightly higher perplexity. With one row the whole text stands before each token.
///
/// Throws UsageError for options out of range; Error for a corpus of less than 2 tokens, and,
/// naming the token's position, when the model's logits are not finite.
Evaluation evaluate(SequenceModel& net, const torch::Tensor& corpus,
                    const EvaluateOptions& options = {}, const SurpriseCallback& on_surprise = {});

/// So many rows that the tokens read without memory do not count: one for each 4096 tokens, at most
/// 32 and at least 1. On a novel of 170,580 characters 32 rows cost an RNN 0.01 % of perplexity.
int64_t honest_batch_size(int64_t tokens);

}  // namespace unroll

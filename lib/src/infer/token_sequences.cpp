#include "infer/token_sequences.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "base/fields.h"
#include "base/formatted.h"
#include "infer/sampler.h"
#include "models/arguments.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// -ln of a token's probability.
double surprise(std::span<const float> logits, int64_t token) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(static_cast<double>(logit) - most);
  }
  return most + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

// One sequence of the batch.
class TokenSequence {
 public:
  TokenSequence(std::size_t index, std::vector<int64_t> prefix, int64_t num_preds,
                const GenerateOptions& options, const SequenceFollower& follower)
      : index_(index),
        tokens_(std::move(prefix)),
        left_(num_preds),
        sampler_(options, static_cast<std::size_t>(options.first) + index),
        follower_(follower) {}

  bool done() const { return left_ == 0; }
  // The token at step t, or a later one's stand-in for a sequence that is done.
  int64_t fed(std::size_t t) const { return tokens_[std::min(t, tokens_.size() - 1)]; }
  std::vector<int64_t> take_tokens() { return std::move(tokens_); }

  // The same, but -1 where that token has not been taken yet.
  int64_t known(std::size_t t) const { return done() || t < tokens_.size() ? fed(t) : -1; }
  // From step t on until it is done.
  int64_t steps_left(std::size_t t) const {
    return done() ? 0 : static_cast<int64_t>(tokens_.size() - 1 - t) + left_;
  }

  // Takes the token that follows step t, unless that is one of the prefix.
  void advance(std::size_t t, std::span<const float> logits) {
    if (!is_to_take(t)) {
      return;
    }
    const auto token = sampler_(logits, tokens_);
    if (token && follower_.on_token) {
      follower_.on_token(index_, *token, surprise(logits, *token));
    }
    take(token);
  }
  // Likewise; -1 where there is none.
  void advance(std::size_t t, int64_t most_likely) {
    if (is_to_take(t)) {
      take(most_likely < 0 ? std::nullopt : std::optional(most_likely));
    }
  }

 private:
  bool is_to_take(std::size_t t) const { return !done() && t + 1 >= tokens_.size(); }

  void take(std::optional<int64_t> token) {
    if (token) {
      tokens_.push_back(*token);
      --left_;
    }
    if (!token || (follower_.goes_on && !follower_.goes_on(index_, *token))) {
      left_ = 0;
    }
    if (done() && follower_.on_end) {
      follower_.on_end(index_);
    }
  }

  std::size_t index_;
  std::vector<int64_t> tokens_;
  int64_t left_;  // tokens still to be taken
  Sampler sampler_;
  const SequenceFollower& follower_;
};

// Whether the tokens before have no say in which is taken, but by the model.
bool takes_most_likely(const GenerateOptions& options) {
  return options.temperature == 0 && options.no_repeat_ngram == 0;
}

void continue_by_steps(Decoder& decoder, std::vector<TokenSequence>& sequences) {
  const auto all_done = [&] {
    return std::all_of(sequences.begin(), sequences.end(), [](const auto& s) { return s.done(); });
  };
  std::vector<int64_t> fed(sequences.size());
  for (std::size_t t = 0; !all_done(); ++t) {
    std::transform(sequences.begin(), sequences.end(), fed.begin(),
                   [&](const auto& sequence) { return sequence.fed(t); });
    const auto logits = decoder.step(fed);
    const std::size_t V = logits.size() / sequences.size();
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      sequences[i].advance(t, logits.subspan(i * V, V));
    }
  }
}

void continue_at_once(Decoder& decoder, const GenerateOptions& options,
                      std::vector<TokenSequence>& sequences) {
  const auto never = options.take_unk ? std::nullopt : std::optional(Vocab::unk());
  const auto steps_left = [&](std::size_t t) {
    int64_t most = 0;
    for (const auto& sequence : sequences) {
      most = std::max(most, sequence.steps_left(t));
    }
    return most;
  };
  const std::size_t B = sequences.size();
  std::vector<int64_t> fed;
  for (std::size_t t = 0; steps_left(t) > 0; t += fed.size() / B) {
    const auto steps = static_cast<std::size_t>(std::min(steps_left(t), decoder.steps_at_once()));
    fed.resize(steps * B);
    for (std::size_t i = 0; i < fed.size(); ++i) {
      fed[i] = sequences[i % B].known(t + i / B);
    }
    const auto taken = decoder.most_likely(fed, never);
    for (std::size_t i = 0; i < taken.size(); ++i) {
      sequences[i % B].advance(t + i / B, taken[i]);
    }
  }
}

}  // namespace

void check(const GenerateOptions& options) {
  check_ranges(options);
  for (const auto& stop : options.stop) {
    if (stop.empty()) {
      throw UsageError("a stop string must have at least one character, got ''");
    }
  }
}

std::vector<std::vector<int64_t>> continue_sequences(std::vector<std::vector<int64_t>> sequences,
                                                     int64_t num_preds, SequenceModel& net,
                                                     const GenerateOptions& options,
                                                     const SequenceFollower& follower) {
  check(options);
  if (num_preds < 0) {
    throw UsageError(formatted("tokens to predict must be >= 0, got {}", num_preds));
  }
  if (num_preds == 0 || sequences.empty()) {
    return sequences;
  }
  std::vector<TokenSequence> batch;
  batch.reserve(sequences.size());
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    batch.emplace_back(i, std::move(sequences[i]), num_preds, options, follower);
  }
  // All go on together; whoever has been through its prefix begins to predict, and the shortest
  // are done first.
  const auto decoder = net.make_decoder(static_cast<int64_t>(batch.size()));
  // The logits, which surprise needs, come only step by step.
  if (takes_most_likely(options) && decoder->steps_at_once() > 1 && !follower.on_token) {
    continue_at_once(*decoder, options, batch);
  } else {
    continue_by_steps(*decoder, batch);
  }
  std::transform(batch.begin(), batch.end(), sequences.begin(),
                 [](TokenSequence& sequence) { return sequence.take_tokens(); });
  return sequences;
}

std::vector<std::vector<int64_t>> generate(const std::vector<std::vector<int64_t>>& prefixes,
                                           int64_t num_preds, SequenceModel& net,
                                           const GenerateOptions& options,
                                           const TokenCallback& on_token) {
  if (!options.stop.empty()) {
    throw UsageError(formatted("a stop string needs a vocabulary, got '{}'", options.stop.front()));
  }
  for (const auto& prefix : prefixes) {
    if (prefix.empty()) {
      throw UsageError("a prefix must have at least one token, got none");
    }
    check_tokens(prefix, net.vocab_size());
  }
  auto of_ids = options;
  of_ids.take_unk = true;
  return continue_sequences(prefixes, num_preds, net, of_ids, {.on_token = on_token});
}

std::vector<int64_t> predict_ch8(const std::vector<int64_t>& prefix, int64_t num_preds,
                                 SequenceModel& net) {
  return generate({prefix}, num_preds, net).front();
}

}  // namespace unroll

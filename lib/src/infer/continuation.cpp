#include <algorithm>
#include <cmath>
#include <optional>

#include "base/fields.h"
#include "base/formatted.h"
#include "infer/sampler.h"
#include "infer/vocab_fits.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll {
namespace {

// The text of a continuation as it grows, up to the first stop string. What may be the beginning of
// one is held back.
class Continuation {
 public:
  explicit Continuation(const std::vector<std::string>& stop) : stop_(stop) {}

  // Adds a piece and returns what can be shown now.
  std::string_view add(std::string_view piece) {
    const std::size_t before = text_.size();
    text_ += piece;
    std::size_t end = std::string::npos;
    for (const auto& s : stop_) {
      end = std::min(end, text_.find(s, before - std::min(before, s.size() - 1)));
    }
    stopped_ = end != std::string::npos;
    if (stopped_) {
      text_.resize(end);
    }
    return show(stopped_ ? 0 : held_back());
  }

  // What was held back, at the end.
  std::string_view finish() { return show(0); }

  bool stopped() const { return stopped_; }
  const std::string& text() const { return text_; }

 private:
  std::string_view show(std::size_t hidden) {
    const std::size_t begin = shown_;
    shown_ = text_.size() - hidden;
    return std::string_view(text_).substr(begin, shown_ - begin);
  }

  // How many bytes at the end are the beginning of a stop string.
  std::size_t held_back() const {
    const std::string_view text(text_);
    std::size_t held = 0;
    for (const auto& s : stop_) {
      for (std::size_t n = std::min(s.size() - 1, text.size()); n > held; --n) {
        if (text.ends_with(std::string_view(s).substr(0, n))) {
          held = n;
        }
      }
    }
    return held;
  }

  const std::vector<std::string>& stop_;
  std::string text_;
  std::size_t shown_ = 0;
  bool stopped_ = false;
};

// -ln of a token's probability.
double surprise(std::span<const float> logits, int64_t token) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(static_cast<double>(logit) - most);
  }
  return most + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

// One text of the batch.
class Sequence {
 public:
  Sequence(std::size_t index, const std::string& prefix, int64_t num_preds, const Vocab& vocab,
           const GenerateOptions& options)
      : index_(index),
        prefix_(prefix),
        left_(num_preds),
        vocab_(vocab),
        tokens_(vocab[prompt_tokens(prefix, vocab.kind())]),
        sampler_(options, static_cast<std::size_t>(options.first) + index),
        continuation_(options.stop) {}

  bool done() const { return left_ == 0; }
  // The token at step t, or a later one's stand-in for a sequence that is done.
  int64_t fed(std::size_t t) const { return tokens_[std::min(t, tokens_.size() - 1)]; }
  std::string text() const { return prefix_ + continuation_.text(); }

  // The same, but -1 where that token has not been taken yet.
  int64_t known(std::size_t t) const { return done() || t < tokens_.size() ? fed(t) : -1; }
  // From step t on until it is done.
  int64_t steps_left(std::size_t t) const {
    return done() ? 0 : static_cast<int64_t>(tokens_.size() - 1 - t) + left_;
  }

  // Takes the token that follows step t, unless that is one of the prefix.
  void advance(std::size_t t, std::span<const float> logits, const TextCallback& on_text,
               const TokenCallback& on_token) {
    if (!is_to_take(t)) {
      return;
    }
    const auto token = sampler_(logits, tokens_);
    if (token && on_token) {
      on_token(index_, *token, surprise(logits, *token));
    }
    take(token, on_text);
  }
  // Likewise; -1 where there is none.
  void advance(std::size_t t, int64_t most_likely, const TextCallback& on_text) {
    if (is_to_take(t)) {
      take(most_likely < 0 ? std::nullopt : std::optional(most_likely), on_text);
    }
  }

 private:
  bool is_to_take(std::size_t t) const { return !done() && t + 1 >= tokens_.size(); }

  void take(std::optional<int64_t> token, const TextCallback& on_text) {
    if (token) {
      tokens_.push_back(*token);
      --left_;
      show(continuation_.add(piece(*token)), on_text);
    }
    if (!token || continuation_.stopped()) {
      left_ = 0;
    }
    if (done()) {
      show(continuation_.finish(), on_text);
    }
  }

  std::string piece(int64_t token) const {
    const auto& before = continuation_.text().empty() ? prefix_ : continuation_.text();
    const auto& text = vocab_.to_token(token);
    return std::string(gap_between(before, text, vocab_.kind())) + text;
  }

  void show(std::string_view text, const TextCallback& on_text) const {
    if (on_text && !text.empty()) {
      on_text(index_, text);
    }
  }

  std::size_t index_;
  const std::string& prefix_;
  int64_t left_;  // tokens still to be taken
  const Vocab& vocab_;
  std::vector<int64_t> tokens_;
  Sampler sampler_;
  Continuation continuation_;
};

// Whether the tokens before have no say in which is taken, but by the model.
bool takes_most_likely(const GenerateOptions& options) {
  return options.temperature == 0 && options.no_repeat_ngram == 0;
}

void continue_by_steps(Decoder& decoder, std::vector<Sequence>& sequences,
                       const TextCallback& on_text, const TokenCallback& on_token) {
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
      sequences[i].advance(t, logits.subspan(i * V, V), on_text, on_token);
    }
  }
}

void continue_at_once(Decoder& decoder, const GenerateOptions& options,
                      std::vector<Sequence>& sequences, const TextCallback& on_text) {
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
      sequences[i % B].advance(t + i / B, taken[i], on_text);
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

std::vector<std::string> generate(const std::vector<std::string>& prefixes, int64_t num_preds,
                                  SequenceModel& net, const Vocab& vocab,
                                  const GenerateOptions& options, const TextCallback& on_text,
                                  const TokenCallback& on_token) {
  check(options);
  if (num_preds < 0) {
    throw UsageError(formatted("tokens to predict must be >= 0, got {}", num_preds));
  }
  check_vocab_fits(net, vocab);
  std::vector<Sequence> sequences;
  sequences.reserve(prefixes.size());
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    sequences.emplace_back(i, prefixes[i], num_preds, vocab, options);
  }

  if (num_preds > 0 && !sequences.empty()) {
    // All go on together; whoever has been through its prefix begins to predict, and the shortest
    // are done first.
    const auto decoder = net.make_decoder(static_cast<int64_t>(prefixes.size()));
    // The logits, which surprise needs, come only step by step.
    if (takes_most_likely(options) && decoder->steps_at_once() > 1 && !on_token) {
      continue_at_once(*decoder, options, sequences, on_text);
    } else {
      continue_by_steps(*decoder, sequences, on_text, on_token);
    }
  }

  std::vector<std::string> texts(sequences.size());
  std::transform(sequences.begin(), sequences.end(), texts.begin(),
                 [](const auto& sequence) { return sequence.text(); });
  return texts;
}

std::vector<std::string> predict_ch8(const std::vector<std::string>& prefixes, int64_t num_preds,
                                     SequenceModel& net, const Vocab& vocab) {
  return generate(prefixes, num_preds, net, vocab, {.take_unk = true});
}

std::vector<std::string> predict_ch8(std::initializer_list<std::string_view> prefixes,
                                     int64_t num_preds, SequenceModel& net, const Vocab& vocab) {
  return predict_ch8(std::vector<std::string>(prefixes.begin(), prefixes.end()), num_preds, net,
                     vocab);
}

std::string predict_ch8(std::string_view prefix, int64_t num_preds, SequenceModel& net,
                        const Vocab& vocab) {
  return predict_ch8(std::vector<std::string>{std::string(prefix)}, num_preds, net, vocab).front();
}

}  // namespace unroll

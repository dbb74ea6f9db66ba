#include <algorithm>
#include <utility>

#include "infer/token_sequences.h"
#include "infer/vocab_fits.h"
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

// A prefix and its continuation, token by token.
class GrowingText {
 public:
  GrowingText(std::size_t index, const std::string& prefix, const Vocab& vocab,
              const GenerateOptions& options, const TextCallback& on_text)
      : index_(index),
        prefix_(prefix),
        vocab_(vocab),
        continuation_(options.stop),
        on_text_(on_text) {}

  // Returns whether the text goes on.
  bool add(int64_t token) {
    const auto& before = continuation_.text().empty() ? prefix_ : continuation_.text();
    const auto& text = vocab_.to_token(token);
    show(continuation_.add(std::string(gap_between(before, text, vocab_.kind())) + text));
    return !continuation_.stopped();
  }

  void finish() { show(continuation_.finish()); }

  std::string text() const { return prefix_ + continuation_.text(); }

 private:
  void show(std::string_view text) const {
    if (on_text_ && !text.empty()) {
      on_text_(index_, text);
    }
  }

  std::size_t index_;
  const std::string& prefix_;
  const Vocab& vocab_;
  Continuation continuation_;
  const TextCallback& on_text_;
};

}  // namespace

std::vector<std::string> generate(const std::vector<std::string>& prefixes, int64_t num_preds,
                                  SequenceModel& net, const Vocab& vocab,
                                  const GenerateOptions& options, const TextCallback& on_text,
                                  const TokenCallback& on_token) {
  check(options);
  check_vocab_fits(net, vocab);
  std::vector<std::vector<int64_t>> sequences;
  std::vector<GrowingText> growing;
  sequences.reserve(prefixes.size());
  growing.reserve(prefixes.size());
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    sequences.push_back(vocab[prompt_tokens(prefixes[i], vocab.kind())]);
    growing.emplace_back(i, prefixes[i], vocab, options, on_text);
  }
  continue_sequences(
      std::move(sequences), num_preds, net, options,
      {.goes_on = [&](std::size_t i, int64_t token) { return growing[i].add(token); },
       .on_end = [&](std::size_t i) { growing[i].finish(); },
       .on_token = on_token});
  std::vector<std::string> texts(growing.size());
  std::transform(growing.begin(), growing.end(), texts.begin(),
                 [](const auto& text) { return text.text(); });
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

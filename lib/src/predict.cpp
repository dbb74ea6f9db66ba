#include "unroll/predict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <span>

#include "unroll/error.h"

namespace unroll {
namespace {

std::vector<std::string> tokens_of(std::string_view prompt, TokenKind kind) {
  std::vector<std::string> tokens;
  try {
    tokenize_line(prompt, kind, [&](std::string_view token) { tokens.emplace_back(token); });
  } catch (const Error& error) {
    throw UsageError(fmt::format("prompt '{}': {}", prompt, error.what()));
  }
  if (tokens.empty()) {
    throw UsageError(fmt::format("prompt must have at least one token, got '{}'", prompt));
  }
  return tokens;
}

// Takes the next token of one sequence. Its draws are the same on every machine: the generator and
// its seeding are the standard's, and the rest is done here.
class Sampler {
 public:
  Sampler(const GenerateOptions& options, std::size_t sequence)
      : temperature_(options.temperature) {
    if (temperature_ > 0) {
      std::seed_seq seed{options.seed & 0xFFFFFFFFU, options.seed >> 32U,
                         static_cast<uint64_t>(sequence)};
      generator_.seed(seed);
    }
  }

  int64_t operator()(std::span<const float> logits) {
    const auto most = std::max_element(logits.begin(), logits.end());
    if (temperature_ == 0) {
      return most - logits.begin();
    }
    weights_.resize(logits.size());
    double total = 0;
    for (std::size_t v = 0; v < logits.size(); ++v) {
      const double below = static_cast<double>(logits[v]) - static_cast<double>(*most);
      weights_[v] = std::exp(below / temperature_);
      total += weights_[v];
    }
    if (!std::isfinite(total)) {
      throw Error("the model's logits are not finite; its training has diverged");
    }
    constexpr double kUnit = 0x1p-53;
    double left = static_cast<double>(generator_() >> 11U) * kUnit * total;
    std::size_t last = 0;  // of those that can be drawn
    for (std::size_t v = 0; v < weights_.size(); ++v) {
      if (weights_[v] > 0) {
        last = v;
        left -= weights_[v];
        if (left < 0) {
          break;
        }
      }
    }
    return static_cast<int64_t>(last);
  }

 private:
  double temperature_;
  std::mt19937_64 generator_;
  std::vector<double> weights_;
};

}  // namespace

void check(const GenerateOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature < 0) {
    throw UsageError(fmt::format("temperature must be >= 0 (0 takes the most likely token), got {}",
                                 options.temperature));
  }
}

std::vector<std::string> generate(const std::vector<std::string>& prefixes, int64_t num_preds,
                                  SequenceModel& net, const Vocab& vocab,
                                  const GenerateOptions& options) {
  check(options);
  if (num_preds < 0) {
    throw UsageError(fmt::format("tokens to predict must be >= 0, got {}", num_preds));
  }
  std::vector<std::vector<int64_t>> outputs;
  std::size_t longest = 0;
  for (const auto& prefix : prefixes) {
    outputs.push_back(vocab[tokens_of(prefix, vocab.kind())]);
    longest = std::max(longest, outputs.back().size());
  }
  std::vector<std::size_t> prefix_sizes(outputs.size());
  std::transform(outputs.begin(), outputs.end(), prefix_sizes.begin(),
                 [](const auto& tokens) { return tokens.size(); });

  // All go on together; whoever has been through its prefix begins to predict, and the shortest are
  // done first.
  const auto predictions = static_cast<std::size_t>(num_preds);
  const std::size_t steps = prefixes.empty() ? 0 : longest - 1 + predictions;
  const auto decoder = net.make_decoder(static_cast<int64_t>(prefixes.size()));
  std::vector<Sampler> samplers;
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    samplers.emplace_back(options, i);
  }
  std::vector<int64_t> fed(outputs.size());
  for (std::size_t t = 0; t < steps; ++t) {
    std::transform(outputs.begin(), outputs.end(), fed.begin(), [&](const auto& tokens) {
      return t < tokens.size() ? tokens[t] : tokens.back();
    });
    const auto logits = decoder->step(fed);
    const std::size_t V = logits.size() / outputs.size();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (t + 1 == outputs[i].size() && outputs[i].size() < prefix_sizes[i] + predictions) {
        outputs[i].push_back(samplers[i](logits.subspan(i * V, V)));
      }
    }
  }

  std::vector<std::string> texts = prefixes;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    for (std::size_t n = prefix_sizes[i]; n < outputs[i].size(); ++n) {
      if (vocab.kind() == TokenKind::kWord && !texts[i].ends_with('\n')) {
        texts[i] += ' ';
      }
      texts[i] += vocab.to_token(outputs[i][n]);
    }
  }
  return texts;
}

std::vector<std::string> predict_ch8(const std::vector<std::string>& prefixes, int64_t num_preds,
                                     SequenceModel& net, const Vocab& vocab) {
  return generate(prefixes, num_preds, net, vocab, {});
}

std::string predict_ch8(std::string_view prefix, int64_t num_preds, SequenceModel& net,
                        const Vocab& vocab) {
  return predict_ch8(std::vector<std::string>{std::string(prefix)}, num_preds, net, vocab).front();
}

std::string normalize_prompt(std::string_view prompt, Normalize normalize) {
  std::string text(prompt);
  if (normalize == Normalize::kLetters) {
    std::transform(text.begin(), text.end(), text.begin(), [](char c) {
      return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
  }
  return text;
}

void check_prompt(std::string_view prompt, const Vocab& vocab) {
  for (const auto& token : tokens_of(prompt, vocab.kind())) {
    if (!vocab.contains(token)) {
      throw Error(fmt::format("prompt '{}': '{}' is not among the {} tokens of the vocabulary",
                              prompt, token, vocab.size()));
    }
  }
}

}  // namespace unroll

#include "unroll/predict.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <vector>

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

}  // namespace

std::string predict_ch8(std::string_view prefix, int64_t num_preds, SequenceModel& net,
                        const Vocab& vocab) {
  if (num_preds < 0) {
    throw UsageError(fmt::format("tokens to predict must be >= 0, got {}", num_preds));
  }
  const torch::NoGradGuard no_grad;
  const auto device = net.device();
  auto state = net.begin_state(1);
  auto X = torch::empty({1, 1}, torch::TensorOptions().dtype(torch::kInt64).device(device));
  const auto feed = [&](int64_t token) {
    X.fill_(token);
    auto [logits, next] = net.forward(X, state);
    state = std::move(next);
    return logits;
  };

  auto outputs = vocab[tokens_of(prefix, vocab.kind())];
  const auto prefix_size = outputs.size();
  std::for_each(outputs.begin(), outputs.end() - 1, feed);
  for (int64_t i = 0; i < num_preds; ++i) {
    outputs.push_back(feed(outputs.back()).argmax(1).item<int64_t>());
  }

  std::string text(prefix);
  for (std::size_t i = prefix_size; i < outputs.size(); ++i) {
    if (vocab.kind() == TokenKind::kWord && !text.ends_with('\n')) {
      text += ' ';
    }
    text += vocab.to_token(outputs[i]);
  }
  return text;
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

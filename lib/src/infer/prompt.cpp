#include <algorithm>

#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll {
namespace {

// In lower case; other letters than A-Z stay.
void lower(std::string& text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
}

std::string read_beginning(std::string_view prompt, const TextOptions& options) {
  try {
    return normalize_beginning(prompt, options);
  } catch (const Error& error) {
    throw UsageError(formatted("prompt '{}': {}", prompt, error.what()));
  }
}

// The prompt without its unknown tokens.
std::string known_part(std::string_view prompt, const Vocab& vocab) {
  std::string known;
  for (const auto& token : prompt_tokens(prompt, vocab.kind())) {
    if (vocab.contains(token)) {
      known += gap_between(known, token, vocab.kind());
      known += token;
    }
  }
  if (known.empty()) {
    throw Error(formatted("prompt '{}': none of its tokens is among the {} of the vocabulary",
                          prompt, vocab.size()));
  }
  return known;
}

}  // namespace

std::vector<std::string> prompt_tokens(std::string_view prompt, TokenKind kind) {
  std::vector<std::string> tokens;
  try {
    tokenize_line(prompt, kind, [&](std::string_view token) { tokens.emplace_back(token); });
  } catch (const Error& error) {
    throw UsageError(formatted("prompt '{}': {}", prompt, error.what()));
  }
  if (tokens.empty()) {
    throw UsageError(formatted("prompt must have at least one token, got '{}'", prompt));
  }
  return tokens;
}

std::string normalize_stop(std::string_view stop, Normalize normalize, TokenKind kind) {
  std::string text;
  try {
    tokenize_line(stop, kind == TokenKind::kByte ? kind : TokenKind::kChar,
                  [&](std::string_view token) { text += token; });
  } catch (const Error& error) {
    throw UsageError(formatted("stop '{}': {}", stop, error.what()));
  }
  if (text.empty()) {  // or a byte-order mark, which no text has
    throw UsageError(formatted("a stop string must have at least one character, got '{}'", stop));
  }
  if (normalize == Normalize::kLetters) {
    lower(text);
    if (!std::all_of(text.begin(), text.end(),
                     [](char c) { return c == ' ' || ('a' <= c && c <= 'z'); })) {
      throw UsageError(formatted(
          "stop '{}': the model writes only letters a-z and spaces, so never this", stop));
    }
  }
  return text;
}

void check_prompt(std::string_view prompt, const Vocab& vocab) {
  for (const auto& token : prompt_tokens(prompt, vocab.kind())) {
    if (!vocab.contains(token)) {
      throw Error(formatted("prompt '{}': '{}' is not among the {} tokens of the vocabulary",
                            prompt, token, vocab.size()));
    }
  }
}

std::string fit_prompt(std::string_view prompt, const TextOptions& options, const Vocab& vocab,
                       UnknownTokens unknown) {
  auto text = read_beginning(prompt, options);
  if (text.empty() && !prompt.empty()) {
    throw Error(formatted("prompt '{}': {}", prompt,
                          options.normalize == Normalize::kLetters
                              ? "has no letter A-Z, and all else is read as a space"
                              : "none of its characters is one that the model reads"));
  }
  switch (unknown) {
    case UnknownTokens::kError:
      check_prompt(text, vocab);
      return text;
    case UnknownTokens::kSkip:
      return known_part(text, vocab);
    case UnknownTokens::kUnk:
      break;
  }
  prompt_tokens(text, vocab.kind());  // at least one, valid
  return text;
}

}  // namespace unroll

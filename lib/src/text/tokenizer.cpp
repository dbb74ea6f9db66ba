#include <utility>

#include "base/formatted.h"
#include "text/normalizer.h"
#include "text/token_cutter.h"
#include "unroll/error.h"
#include "unroll/text.h"

namespace unroll {

struct Tokenizer::State {
  State(const TextOptions& options, std::function<void(std::string_view)> sink)
      : normalizer(options), cutter(options.tokens), sink(std::move(sink)) {}

  Normalizer normalizer;
  TokenCutter cutter;
  std::function<void(std::string_view)> sink;
};

Tokenizer::Tokenizer(const TextOptions& options, std::function<void(std::string_view)> sink)
    : state_(std::make_unique<State>(options, std::move(sink))) {}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

void Tokenizer::feed(std::string_view block) {
  state_->cutter.feed(state_->normalizer.feed(block), state_->sink);
}

void Tokenizer::end_file() { state_->cutter.feed(state_->normalizer.end_file(), state_->sink); }

void Tokenizer::finish() {
  end_file();
  state_->cutter.feed(state_->normalizer.finish(), state_->sink);
  state_->cutter.finish(state_->sink);
}

std::string normalize_letters(std::string_view line) {
  std::string letters;
  letters.reserve(line.size());
  Tokenizer tokenizer({.normalize = Normalize::kLetters, .tokens = TokenKind::kChar},
                      [&](std::string_view c) { letters.append(c); });
  tokenizer.feed(line);
  tokenizer.finish();
  return letters;
}

std::string normalize_beginning(std::string_view text, const TextOptions& options) {
  Normalizer normalizer(options);
  std::string result(normalizer.feed(text));
  result += normalizer.end_file();
  result += normalizer.finish();
  if (normalizer.is_between_words()) {
    result += ' ';
  }
  return result;
}

std::vector<std::string> read_time_machine(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  read_lines(path, NulBytes::kRefuse, [&](int64_t number, std::string_view line) {
    try {
      lines.push_back(normalize_letters(line));
    } catch (const InvalidUtf8Error& error) {
      throw InvalidUtf8Error(formatted("{}: line {}: {}", text_name(path), number, error.what()));
    }
  });
  return lines;
}

std::string_view gap_between(std::string_view before, std::string_view token, TokenKind kind) {
  const bool words_of_a_line =
      kind == TokenKind::kWord && !before.empty() && !before.ends_with('\n') && token != "\n";
  return words_of_a_line ? " " : "";
}

void tokenize_line(std::string_view line, TokenKind kind,
                   const std::function<void(std::string_view)>& sink) {
  Tokenizer tokenizer({.normalize = Normalize::kNone, .tokens = kind}, sink);
  tokenizer.feed(line);
  tokenizer.finish();
}

std::vector<std::vector<std::string>> tokenize(const std::vector<std::string>& lines,
                                               TokenKind kind) {
  std::vector<std::vector<std::string>> tokens;
  tokens.reserve(lines.size());
  for (const auto& line : lines) {
    auto& row = tokens.emplace_back();
    tokenize_line(line, kind, [&](std::string_view token) { row.emplace_back(token); });
  }
  return tokens;
}

}  // namespace unroll

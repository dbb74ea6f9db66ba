#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/text.h"

namespace unroll {

using Tokens = std::vector<std::string>;

/// The tokens of a line.
inline Tokens tokens_of(std::string_view line, TokenKind kind) {
  Tokens tokens;
  tokenize_line(line, kind, [&](std::string_view token) { tokens.emplace_back(token); });
  return tokens;
}

inline const TextOptions kCharacters{.normalize = Normalize::kNone};
inline const TextOptions kReplacing{.normalize = Normalize::kNone,
                                    .invalid_utf8 = InvalidUtf8::kReplace};

/// The tokens of files, each fed in blocks of `size` bytes.
inline Tokens tokens_of_files(const std::vector<std::string>& files, const TextOptions& options,
                              std::size_t size) {
  Tokens tokens;
  Tokenizer tokenizer(options, [&](std::string_view token) { tokens.emplace_back(token); });
  for (const auto& file : files) {
    for (std::size_t at = 0; at < file.size(); at += size) {
      tokenizer.feed(std::string_view(file).substr(at, size));
    }
    tokenizer.end_file();
  }
  tokenizer.finish();
  return tokens;
}

/// What a text becomes by character, the tokens joined.
inline std::string read(const std::vector<std::string>& files,
                        const TextOptions& options = kCharacters, std::size_t block = 1000) {
  std::string text;
  for (const auto& token : tokens_of_files(files, options, block)) {
    text += token;
  }
  return text;
}

}  // namespace unroll

#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace unroll {

/// What becomes of a text before it is cut into tokens.
enum class Normalize {
  kLetters,  ///< every run outside A-Z a-z becomes one space; ends stripped; lower case; no line
             ///< ends
  kNone,     ///< the text as it is, line ends included
};

/// What one token is.
enum class TokenKind {
  kChar,  ///< a Unicode code point
  kWord,  ///< a run of characters without white space; a kept line end is a token of its own
  kByte,  ///< a byte
};

/// How a text is read.
struct TextOptions {
  Normalize normalize = Normalize::kLetters;  ///< what is kept of the characters
  TokenKind tokens = TokenKind::kChar;        ///< what one token is
};

std::string_view to_string(Normalize normalize);
std::string_view to_string(TokenKind kind);

/// `letters` or `none`; throws UsageError otherwise.
Normalize parse_normalize(std::string_view name);

/// `char`, `word` or `byte`; throws UsageError otherwise.
TokenKind parse_token_kind(std::string_view name);

/// One line of a text.
struct Line {
  std::string_view text;  ///< without its line end
  int64_t offset;         ///< of its first byte in the text
  bool terminated;        ///< whether a line end follows
};

/// Calls `sink` with each line of the file, reading it in blocks.
///
/// Throws Error, naming the file, when it is missing, a directory, unreadable or empty, and when
/// it holds a NUL byte (a binary file) unless `binary` is true.
void read_lines(const std::filesystem::path& path, bool binary,
                const std::function<void(const Line&)>& sink);

/// Calls `sink` with each line of `text`.
void split_lines(std::string_view text, const std::function<void(const Line&)>& sink);

/// Normalize::kLetters on one line: `"  Don't -- stop "` becomes `"don t stop"`.
std::string normalize_letters(std::string_view line);

/// The lines of a text, normalised with Normalize::kLetters; empty lines stay as empty strings.
/// The notebook's `read_time_machine`, for any file. Throws as read_lines does.
std::vector<std::string> read_time_machine(const std::filesystem::path& path);

/// Calls `sink` with each token of one line that is already normalised.
/// Throws Error at invalid UTF-8 (TokenKind::kChar), naming the byte's offset within the line.
void tokenize_line(std::string_view line, TokenKind kind,
                   const std::function<void(std::string_view)>& sink);

/// One list of tokens a line, as the notebook's `tokenize`.
std::vector<std::vector<std::string>> tokenize(const std::vector<std::string>& lines,
                                               TokenKind kind = TokenKind::kWord);

}  // namespace unroll

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

/// The names that the parsers below read.
std::string_view to_string(Normalize normalize);
std::string_view to_string(TokenKind kind);

/// `letters` or `none`; throws UsageError otherwise.
Normalize parse_normalize(std::string_view name);

/// `char`, `word` or `byte`; throws UsageError otherwise.
TokenKind parse_token_kind(std::string_view name);

/// Whether a NUL byte, the mark of a binary file, may stand in a text.
enum class NulBytes { kRefuse, kAllow };

/// Calls `sink` with the file's content, block by block.
/// Throws Error, naming the file, when it is missing, a directory, unreadable or empty, and when it
/// holds a NUL byte that is refused.
void read_blocks(const std::filesystem::path& path, NulBytes nul_bytes,
                 const std::function<void(std::string_view)>& sink);

/// Normalises a text and cuts it into tokens as it streams by, in memory that does not depend on
/// the text or its lines.
///
///     Tokenizer tokenizer({}, [](std::string_view token) { ... });
///     read_blocks(path, NulBytes::kRefuse, [&](auto block) { tokenizer.feed(block); });
///     tokenizer.finish();
class Tokenizer {
 public:
  /// Calls `sink` with each token, in order.
  Tokenizer(TextOptions options, std::function<void(std::string_view)> sink);

  /// Takes the next piece of the text, cut anywhere.
  /// Throws Error at invalid UTF-8 that is kept, naming the byte's offset in the text.
  void feed(std::string_view block);

  /// Ends the text. Throws as feed does.
  void finish();

 private:
  void put_letter(char letter);
  void keep(char c);
  void end_code_point();
  void end_word();

  TextOptions options_;
  std::function<void(std::string_view)> sink_;
  std::string pending_;       // a word, or the bytes of a code point that are here
  bool line_began_ = false;   // letters: whether the line has one yet
  bool gap_ = false;          // letters: whether something was dropped since
  std::size_t expected_ = 0;  // bytes of the pending code point
  int64_t offset_ = 0;        // of the next byte in the text
};

/// Normalize::kLetters on one line: `"  Don't -- stop "` becomes `"don t stop"`.
std::string normalize_letters(std::string_view line);

/// The lines of a text, normalised with Normalize::kLetters; empty lines stay as empty strings.
/// The notebook's `read_time_machine`, for any file. Throws as read_blocks does.
std::vector<std::string> read_time_machine(const std::filesystem::path& path);

/// Calls `sink` with each token of one line that is already normalised.
/// Throws Error at invalid UTF-8 (TokenKind::kChar), naming the byte's offset within the line.
void tokenize_line(std::string_view line, TokenKind kind,
                   const std::function<void(std::string_view)>& sink);

/// One list of tokens a line, as the notebook's `tokenize`.
std::vector<std::vector<std::string>> tokenize(const std::vector<std::string>& lines,
                                               TokenKind kind = TokenKind::kWord);

}  // namespace unroll

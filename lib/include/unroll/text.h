#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/options.h"

#pragma GCC visibility push(default)
namespace unroll {

/// What happens to a text before it is cut into tokens.
enum class Normalize {
  kLetters,  ///< every run outside A-Z a-z becomes one space; ends stripped; lower case; no line
             ///< ends
  kNone,     ///< the text as it is, line ends included; bytes not changed at all, else in Unicode's
          ///< Normalization Form C, without a byte-order mark at a file's start, CR LF and CR as LF
};
constexpr auto enum_names(Normalize) {
  return enum_table<Normalize>("normalize",
                               {{Normalize::kLetters, "letters"}, {Normalize::kNone, "none"}});
}

/// What one token is.
enum class TokenKind {
  kChar,  ///< a Unicode code point
  kWord,  ///< a run without ASCII white space; a kept line end is a token of its own
  kByte,  ///< a byte
};
constexpr auto enum_names(TokenKind) {
  return enum_table<TokenKind>(
      "tokens",
      {{TokenKind::kChar, "char"}, {TokenKind::kWord, "word"}, {TokenKind::kByte, "byte"}});
}

/// What happens to bytes that are not valid UTF-8.
enum class InvalidUtf8 {
  kRefuse,   ///< an error that names the first one's offset
  kReplace,  ///< U+FFFD, one for each maximal subpart of an ill-formed sequence (the Unicode
             ///< Standard, section 3.9). It is not a letter
};
constexpr auto enum_names(InvalidUtf8) {
  return enum_table<InvalidUtf8>(
      "invalid-utf8", {{InvalidUtf8::kRefuse, "stop"}, {InvalidUtf8::kReplace, "replace"}});
}

/// How a text is read.
struct TextOptions {
  Normalize normalize = Normalize::kLetters;        ///< what is kept of the characters
  TokenKind tokens = TokenKind::kChar;              ///< what one token is
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kRefuse;  ///< ignored for a text that is kept as bytes

  bool operator==(const TextOptions&) const = default;

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.tokens, {"tokens", "KIND", "what a token is: {}"});
    visit(self.normalize,
          {"normalize", "HOW", "letters: only a-z and single spaces; none: the text as it is"});
    visit(self.invalid_utf8,
          {"invalid-utf8", "HOW",
           "bytes that are not UTF-8: stop with an error, or replace them by U+FFFD"});
  }
};

/// Cuts a text into lines as it streams by. A line ends at LF, CR LF or CR, as in every text here.
class LineCutter {
 public:
  using Sink = std::function<void(std::string_view line)>;  ///< called with each line

  /// Takes the next piece, cut anywhere, and calls `sink` with each line that it ends, without the
  /// end.
  void feed(std::string_view piece, const Sink& sink);

  /// Ends the text: what is left after the last line's end is a line, too.
  void finish(const Sink& sink);

 private:
  std::string line_;       // begun
  bool after_cr_ = false;  // so that an LF that comes next ends no other line
};

/// Whether a text may contain a NUL byte, the mark of a binary file.
enum class NulBytes { kRefuse, kAllow };

/// Only a text whose bytes are kept as they are may be a binary file.
inline NulBytes nul_bytes_of(const TextOptions& options) {
  return options.tokens == TokenKind::kByte && options.normalize == Normalize::kNone
             ? NulBytes::kAllow
             : NulBytes::kRefuse;
}

/// The path that means the standard input, which can be read once. A file of that name is `./-`.
inline constexpr std::string_view kStandardInput = "-";

/// How messages name a text: its path, or `standard input`.
std::string text_name(const std::filesystem::path& path);

/// The same for several: `a.txt, b.txt`.
std::string text_name(const std::vector<std::filesystem::path>& paths);

/// Whether the path leads to a regular file. The standard input or a pipe can be read only once.
bool can_be_read_again(const std::filesystem::path& path);

/// What distinguishes a text from others: its bytes as they lie in the files, all of them in order,
/// and where a file ends and the next begins.
struct TextFingerprint {
  int64_t bytes = 0;  ///< their number
  /// XXH3 of 128 bits in 32 hexadecimal digits (https://xxhash.com); between two files it takes the
  /// number of bytes so far, in eight bytes, the lowest first.
  std::string hash = {};

  bool operator==(const TextFingerprint&) const = default;
};

/// How far a text has been read.
struct ReadProgress {
  std::string name = {};    ///< of the file being read, as text_name returns it
  int64_t bytes = 0;        ///< read, of all files
  int64_t total_bytes = 0;  ///< of all files; 0 if the size of one is unknown
};

/// Called after each block that was read; may be empty.
using ReadCallback = std::function<void(const ReadProgress&)>;

/// Calls `sink` with the content of a file, or of the standard input, block by block.
/// Throws Error, naming the file, when it is missing, a directory, unreadable or empty, and, where
/// NUL bytes are refused, when it holds one or begins with the mark of UTF-16 or UTF-32.
void read_blocks(const std::filesystem::path& path, NulBytes nul_bytes,
                 const std::function<void(std::string_view)>& sink);

/// The same for several files, one after the other. `sink` also gets the index of the block's file.
/// `end_file`, unless empty, is called at the end of each file.
void read_blocks(const std::vector<std::filesystem::path>& paths, NulBytes nul_bytes,
                 const std::function<void(std::size_t file, std::string_view)>& sink,
                 const ReadCallback& on_read = {},
                 const std::function<void(std::size_t file)>& end_file = {});

/// Calls `sink` with each line of a file, or of the standard input, and its number from 1. Throws
/// as read_blocks does.
void read_lines(const std::filesystem::path& path, NulBytes nul_bytes,
                const std::function<void(int64_t number, std::string_view line)>& sink);

/// Normalises a text and cuts it into tokens as it streams by. The memory that this takes depends
/// only on the longest word.
///
/// More than 30 combining marks in a row are brought to Form C thirty at a time, as Unicode's
/// Stream-Safe Text Format cuts them.
///
///     Tokenizer tokenizer({}, [](std::string_view token) { ... });
///     read_blocks(path, NulBytes::kRefuse, [&](auto block) { tokenizer.feed(block); });
///     tokenizer.finish();
class Tokenizer {
 public:
  /// Calls `sink` with each token, in order.
  Tokenizer(const TextOptions& options, std::function<void(std::string_view)> sink);
  ~Tokenizer();
  /// What is moved from takes no more text.
  Tokenizer(Tokenizer&&) noexcept;
  /// As the constructor.
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Takes the next piece of the text, cut anywhere.
  /// Throws InvalidUtf8Error where that is refused, naming the byte's offset in the file.
  void feed(std::string_view block);

  /// Ends a file, but not the text. The next piece starts another file: it may have a byte-order
  /// mark, and its offsets count from 0. A word or a line may continue in it. Throws as feed does.
  void end_file();

  /// Ends the text. Throws as feed does.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Normalize::kLetters on one line: `"  Don't -- stop "` becomes `"don t stop"`. Throws
/// InvalidUtf8Error.
std::string normalize_letters(std::string_view line);

/// The beginning of a text that goes on, normalised as the options say. It is read as any text, but
/// what Normalize::kLetters drops after the last letter of a line stays as one space, as it would
/// before the next word: `"The -- "` becomes `"the "`. Throws InvalidUtf8Error where that is
/// refused.
std::string normalize_beginning(std::string_view text, const TextOptions& options);

/// The lines of a text, normalised with Normalize::kLetters; empty lines stay as empty strings.
/// The notebook's `read_time_machine`, for any file. Throws as read_blocks does, and
/// InvalidUtf8Error, naming the file, the line and the byte's offset in it.
std::vector<std::string> read_time_machine(const std::filesystem::path& path);

/// What separates a token from the one before it: a space between two words of a line.
std::string_view gap_between(std::string_view before, std::string_view token, TokenKind kind);

/// Calls `sink` with each token of one line, as Normalize::kNone reads it. So a prompt has the
/// tokens of a text however either is composed. Throws InvalidUtf8Error unless by byte, naming the
/// byte's offset within the line.
void tokenize_line(std::string_view line, TokenKind kind,
                   const std::function<void(std::string_view)>& sink);

/// One list of tokens for each line, like the notebook's `tokenize`.
std::vector<std::vector<std::string>> tokenize(const std::vector<std::string>& lines,
                                               TokenKind kind = TokenKind::kWord);

}  // namespace unroll
#pragma GCC visibility pop

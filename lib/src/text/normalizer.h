#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "text/nfc.h"
#include "unroll/text.h"

namespace unroll {

/// Normalises a text as it streams by, as TextOptions describe it. What comes out is whole: no code
/// point is cut, and all is valid UTF-8 unless bytes are kept as they are.
class Normalizer {
 public:
  explicit Normalizer(const TextOptions& options) : options_(options) {}

  /// Takes the next piece, cut anywhere, and returns what is settled; valid until the next call.
  /// Throws InvalidUtf8Error where that is refused, naming the byte's offset in its file.
  std::string_view feed(std::string_view block);

  /// Ends a file; another may follow. Returns and throws as feed does.
  std::string_view end_file();

  /// Ends the text, after its last file's end.
  std::string_view finish();

  /// Letters: whether a space comes next if the line goes on with a letter.
  bool is_between_words() const { return line_began_ && gap_; }

 private:
  template <typename Put>
  void take_units(std::string_view block, const Put& put);
  void put_letters(std::string_view block);
  std::size_t check_units(std::string_view text, std::size_t end);
  std::size_t put_staying(std::string_view text, std::size_t end);
  std::size_t put_characters(std::string_view text, std::size_t end);
  void put_invalid(std::string_view bytes, int64_t offset);

  TextOptions options_;
  std::string letters_;
  bool line_began_ = false;  // letters: whether the line has one yet
  bool gap_ = false;         // letters: whether something was dropped since
  Nfc characters_;
  std::string held_;    // the start of a code point, or a carriage return, at a block's end
  int64_t offset_ = 0;  // in the file, of the units that are taken next
};

}  // namespace unroll

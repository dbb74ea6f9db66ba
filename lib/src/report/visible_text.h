#pragma once

#include <string>
#include <string_view>

namespace unroll {

/// A text that changes nothing of the terminal that shows it: control characters are Unicode's
/// pictures of them (U+241B for ESC), bytes that are no UTF-8 and the controls of Latin-1,
/// which are commands to some terminals, are in hexadecimal (`\x9b`). Those of `kept` stay.
std::string visible(std::string_view text, std::string_view kept = {});

/// The same for a text that comes in pieces, cut anywhere: the start of a character at the end of
/// one waits for the next.
class VisibleText {
 public:
  explicit VisibleText(std::string_view kept) : kept_(kept) {}

  /// The next piece.
  std::string feed(std::string_view piece);

  /// What was left waiting at the text's end.
  std::string finish();

 private:
  std::string_view kept_;
  std::string held_;
};

}  // namespace unroll

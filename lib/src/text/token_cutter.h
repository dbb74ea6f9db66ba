#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "text/utf8.h"
#include "unroll/text.h"

namespace unroll {

/// Whether a text can be one token of this kind.
inline bool is_token(std::string_view text, TokenKind kind) {
  if (kind == TokenKind::kByte) {
    return text.size() == 1;
  }
  const bool is_empty = text.empty();
  bool is_longer = false;
  while (!text.empty()) {
    const auto unit = first_unit(text);
    if (unit.state != Utf8Unit::State::kWhole) {
      return false;
    }
    text.remove_prefix(unit.size);
    is_longer = is_longer || !text.empty();
  }
  return !is_empty && !(is_longer && kind == TokenKind::kChar);
}

/// Cuts normalised text into tokens as it streams by, no code point cut between two pieces.
class TokenCutter {
 public:
  explicit TokenCutter(TokenKind kind) : kind_(kind) {}

  /// Calls `sink` with each token that the next piece ends. A template: a call that is not inlined
  /// would cost as much as all the rest of a token by character.
  template <typename Sink>
  void feed(std::string_view text, const Sink& sink) {
    if (kind_ == TokenKind::kWord) {
      feed_words(text, sink);
      return;
    }
    for (std::size_t at = 0; at < text.size();) {
      const auto size = kind_ == TokenKind::kByte ? 1 : utf8_size(text[at]);
      sink(text.substr(at, size));
      at += size;
    }
  }

  /// Ends the text, and with it the last word.
  template <typename Sink>
  void finish(const Sink& sink) {
    end_word({}, sink);
  }

 private:
  // What white space is in ASCII.
  static constexpr std::array<bool, 256> kSpaces = [] {
    std::array<bool, 256> table{};
    for (const char c : {' ', '\t', '\n', '\v', '\f', '\r'}) {
      table[static_cast<unsigned char>(c)] = true;
    }
    return table;
  }();

  template <typename Sink>
  void feed_words(std::string_view text, const Sink& sink) {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (kSpaces[static_cast<unsigned char>(text[at])]) {
        end_word(text.substr(begin, at - begin), sink);
        if (text[at] == '\n') {
          sink(text.substr(at, 1));
        }
        begin = at + 1;
      }
    }
    word_.append(text.substr(begin));
  }

  template <typename Sink>
  void end_word(std::string_view rest, const Sink& sink) {
    if (!word_.empty()) {
      word_.append(rest);
      sink(std::string_view(word_));
      word_.clear();
    } else if (!rest.empty()) {
      sink(rest);
    }
  }

  TokenKind kind_;
  std::string word_;  // the part of one that earlier pieces held
};

}  // namespace unroll

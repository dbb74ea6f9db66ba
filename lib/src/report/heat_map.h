#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace unroll {

/// A text whose tokens come one by one, on backgrounds between cyan (expected) and red (a surprise
/// of 8 bits and more), with the control sequences of terminals with 256 colours. The letters are
/// black, so that it reads on a dark terminal and on a light one.
///
/// What a reader sees as one character is on one background, however many tokens it takes: the
/// bytes of a code point, a letter and its accents, the parts of an emoji. Its surprise is the sum
/// of theirs. Control characters are shown as `visible` shows them; a line end also ends the line.
class HeatMap {
 public:
  using Sink = std::function<void(std::string_view shown)>;

  /// Calls `sink` with what is to be shown.
  explicit HeatMap(Sink sink) : sink_(std::move(sink)) {}

  /// Takes the next token and its surprise; the text's first has none, and no colour. `gap` stands
  /// between it and the one before.
  void add(std::string_view gap, std::string_view token, std::optional<double> nats);

  /// Ends the text.
  void finish();

 private:
  // Tokens that are shown together.
  struct Run {
    std::string text = {};
    std::optional<double> nats = {};

    void append(std::string_view more, std::optional<double> its_nats);
  };

  void settle();
  void show();

  Sink sink_;
  Run character_;            // what is seen as one, as far as it is known
  Run begun_;                // tokens within a code point
  int32_t last_ = 0;         // the last code point of character_
  int32_t break_state_ = 0;  // utf8proc's, of character_
};

/// Which background stands for how many bits of surprise: one line, without its end.
std::string heat_map_legend();

}  // namespace unroll

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "report/seen_characters.h"

namespace unroll {

/// A text whose tokens come one by one, on backgrounds between cyan (expected) and red (a surprise
/// of 8 bits and more), with the control sequences of terminals with 256 colours. The letters are
/// black, so that it reads on a dark terminal and on a light one.
///
/// What a reader sees as one character (SeenCharacters) is on one background, and its surprise is
/// the sum of its tokens'. Control characters are shown as `visible` shows them; a line end also
/// ends the line.
class HeatMap {
 public:
  using Sink = std::function<void(std::string_view shown)>;

  /// Calls `sink` with what is to be shown.
  explicit HeatMap(Sink sink);
  HeatMap(const HeatMap&) = delete;
  HeatMap& operator=(const HeatMap&) = delete;

  /// Takes the next token and its surprise; the text's first has none, and no colour. `gap` stands
  /// between it and the one before.
  void add(std::string_view gap, std::string_view token, std::optional<double> nats);

  /// Ends the text.
  void finish() { characters_.finish(); }

 private:
  void show(const SeenCharacters::Character& character) const;

  Sink sink_;
  SeenCharacters characters_;
};

/// Which background stands for how many bits of surprise: one line, without its end.
std::string heat_map_legend();

}  // namespace unroll

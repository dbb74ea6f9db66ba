#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace unroll {

/// Tokens, each with a value, put together to what a reader sees as one character: the bytes of a
/// code point, a letter and its accents, the parts of an emoji. A token of several characters stays
/// one.
class SeenCharacters {
 public:
  struct Character {
    std::string text = {};
    std::optional<double> sum = {};   ///< of its tokens' values; none if one of them has none
    std::optional<double> last = {};  ///< the last token's value

    void append(std::string_view more, std::optional<double> value);
  };
  using Sink = std::function<void(const Character&)>;

  /// Calls `sink` with each.
  explicit SeenCharacters(Sink sink) : sink_(std::move(sink)) {}

  void add(std::string_view token, std::optional<double> value);

  /// Ends what was begun: something stands between two tokens, or the text is over.
  void finish();

 private:
  void settle();
  void show();

  Sink sink_;
  Character character_;      // as far as it is known
  Character begun_;          // tokens within a code point
  int32_t last_ = 0;         // the last code point of character_
  int32_t break_state_ = 0;  // utf8proc's, of character_
};

}  // namespace unroll

#pragma once

#include <string>
#include <vector>

namespace unroll {

/// A token of a text and a value that colours it.
struct ColouredToken {
  std::string text = {};   ///< with what stands between it and the one before
  double value = 0;        ///< not-a-number: no colour
  std::string shown = {};  ///< the value with its unit, as a reader gets it
};

/// What the colours stand for.
enum class Scale {
  kSurprise,    ///< bits from 0, pale, to 8 and more, red
  kActivation,  ///< from -1, blue, over 0, pale, to 1, red
};

/// The key to the colours.
std::string colour_key(Scale scale);

/// A text whose tokens are coloured. A token's value is shown under
/// the pointer, and by the arrow keys once the text has the focus.
std::string coloured_text(const std::string& title, const std::vector<ColouredToken>& tokens,
                          Scale scale);

}  // namespace unroll

#pragma once

#include <string>
#include <string_view>

namespace unroll {

/// A token on a background between cyan (expected) and red (a surprise of 8 bits and more), with
/// the control sequences of terminals with 256 colours. The letters are black, so that it reads on
/// a dark terminal and on a light one.
///
/// `nats` is the token's surprise. Control characters are shown as Unicode's pictures of them, a
/// line end also ends the line; bytes that are no UTF-8 are shown as `\x8f`.
std::string heat_map(std::string_view token, double nats);

/// A token without a surprise, the text's first, in the terminal's own colours.
std::string heat_map(std::string_view token);

/// Which background stands for how many bits of surprise: one line, without its end.
std::string heat_map_legend();

}  // namespace unroll

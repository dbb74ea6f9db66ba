#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "unroll/text.h"

namespace unroll {

/// One token's surprise as a JSON object: position in the text (from 0), token (an integer where
/// tokens are bytes), index in the vocabulary, nats.
std::string surprise_line(int64_t position, std::string_view token, int64_t index, float nats,
                          TokenKind kind);

}  // namespace unroll

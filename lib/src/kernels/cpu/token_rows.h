#pragma once

#include <cstdint>
#include <vector>

namespace unroll::cpu {

/// The tokens of a batch, each distinct one once.
struct TokenRows {
  std::vector<int64_t> tokens;  ///< the distinct tokens
  std::vector<int32_t> slot;    ///< (T*B): which of them stands at step t of sequence b
};

}  // namespace unroll::cpu

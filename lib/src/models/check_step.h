#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

/// Throws Error unless there is one token for each of `batch_size` sequences.
inline void check_step(std::span<const int64_t> tokens, std::size_t batch_size) {
  if (tokens.size() != batch_size) {
    throw Error(formatted("a step takes {} tokens, got {}", batch_size, tokens.size()));
  }
}

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstdint>

#include "unroll/ranks.h"

namespace unroll {

/// How many ranks say so. All of them must ask at once. Throws RankLost.
inline int64_t count_ranks(Ranks& ranks, bool is_so) {
  const auto count = torch::full({1}, is_so ? 1 : 0, torch::kInt64);
  ranks.all_reduce(count);
  return count.item<int64_t>();
}

/// Returns when all ranks have called it. Throws RankLost.
inline void wait_for_all(Ranks& ranks) { count_ranks(ranks, true); }

}  // namespace unroll

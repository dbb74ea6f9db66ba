#pragma once

#include <memory>

#include "unroll/ranks.h"

namespace unroll {

/// join_ranks for at least two ranks, by c10d. Throws Error where it is not built in.
std::shared_ptr<Ranks> join_process_group(const RanksOptions& options);

}  // namespace unroll

#include "base/formatted.h"
#include "ranks/process_group.h"

namespace unroll {

std::shared_ptr<Ranks> join_process_group(const RanksOptions& options) {
  throw Error(formatted("{} ranks cannot train together: {}", options.world, ranks_problem()));
}

std::string ranks_problem() { return "built without " UNROLL_MISSING_FOR_RANKS; }

}  // namespace unroll

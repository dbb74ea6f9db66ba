#include <memory>

#include "base/fields.h"
#include "ranks/process_group.h"
#include "unroll/ranks.h"

namespace unroll {

std::shared_ptr<Ranks> join_ranks(const RanksOptions& options) {
  require_in("world", options.world, from_to(1, 1 << 20));
  require_in("rank", options.rank, from_to(0, static_cast<double>(options.world - 1)));
  require_in("port", options.port, from_to(1, 65535));
  require_in("timeout", options.timeout, above_to(0, 1e6));
  return options.world == 1 ? std::make_shared<Ranks>() : join_process_group(options);
}

}  // namespace unroll

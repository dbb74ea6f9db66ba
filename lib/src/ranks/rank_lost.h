#pragma once

#include <string_view>

#include "base/formatted.h"
#include "unroll/ranks.h"

namespace unroll {

/// For one that was waited for in vain, so many seconds.
inline RankLost silent_rank(double timeout) {
  return RankLost(
      formatted("no answer from another rank for {:g} s: it hangs, or cannot be reached", timeout));
}

/// For one whose end of a connection is closed.
inline RankLost gone_rank(std::string_view why) {
  return RankLost(formatted("another rank is gone: {}", why));
}

}  // namespace unroll

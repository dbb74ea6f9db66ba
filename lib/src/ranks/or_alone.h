#pragma once

#include <memory>
#include <utility>

#include "unroll/ranks.h"

namespace unroll {

/// These, or a process alone where there are none.
inline std::shared_ptr<Ranks> or_alone(std::shared_ptr<Ranks> ranks) {
  return ranks ? std::move(ranks) : std::make_shared<Ranks>();
}

}  // namespace unroll

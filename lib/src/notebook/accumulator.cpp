#include <algorithm>
#include <functional>

#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/notebook.h"

namespace unroll {

void Accumulator::add(std::initializer_list<double> values) {
  if (values.size() != sums_.size()) {
    throw Error(
        formatted("accumulator has {} sums, got {} values to add", sums_.size(), values.size()));
  }
  std::transform(values.begin(), values.end(), sums_.begin(), sums_.begin(), std::plus<>());
}

void Accumulator::reset() { std::fill(sums_.begin(), sums_.end(), 0.0); }

}  // namespace unroll

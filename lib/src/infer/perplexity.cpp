#include <cmath>

#include "unroll/evaluate.h"

namespace unroll {

double perplexity(double nats, int64_t tokens) {
  return std::exp(nats / static_cast<double>(tokens));
}

}  // namespace unroll

#include "unroll/perplexity.h"

#include <cmath>

namespace unroll {

double perplexity(double nats, int64_t tokens) {
  return std::exp(nats / static_cast<double>(tokens));
}

}  // namespace unroll

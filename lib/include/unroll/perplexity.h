#pragma once

#include <cstdint>

namespace unroll {

/// Perplexity: exp of the mean cross-entropy, `nats` summed over `tokens` predicted tokens.
/// 1 is certainty, V what uniform guessing among V tokens comes to. NaN when no token was
/// predicted.
double perplexity(double nats, int64_t tokens);

}  // namespace unroll

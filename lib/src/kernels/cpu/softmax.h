#pragma once

#include <cstdint>

#include "kernels/cpu/matrices/panels.h"

namespace unroll::cpu {

/// The label of a row that takes no part, torch's ignore_index.
inline constexpr int64_t kIgnoredLabel = -100;

/// Cross-entropy in nats, -log softmax(logits)[label], of the rows [begin, end), summed; the logits
/// become its gradient by the logits times `scale`.
///
/// logits (R, V); labels[r] in [0, V), or kIgnoredLabel: then the row adds nothing, and its
/// gradient is zero.
double softmax_cross_entropy(Panels& logits, int64_t begin, int64_t end, const int64_t* labels,
                             float scale);

}  // namespace unroll::cpu

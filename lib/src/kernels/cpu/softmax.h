#pragma once

#include <cstdint>

#include "kernels/cpu/panels.h"

namespace unroll::cpu {

/// Cross-entropy in nats, -log softmax(logits)[label], of the rows [begin, end), summed; the logits
/// become its gradient by the logits times `scale`.
///
/// logits (R, V); labels[r] in [0, V).
double softmax_cross_entropy(Panels& logits, int64_t begin, int64_t end, const int64_t* labels,
                             float scale);

}  // namespace unroll::cpu

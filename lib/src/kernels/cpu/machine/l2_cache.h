#pragma once

#include <cstdint>

namespace unroll::cpu {

/// Bytes of a core's second-level cache as the system says, or 1 MiB where it does not.
int64_t l2_cache_bytes();

/// Whether so many bytes stay in that cache from one time step to the next, beside the activations
/// and what is computed: it decides how products are cut, and how threads share them.
inline bool stay_in_l2_cache(int64_t bytes) { return bytes <= l2_cache_bytes() / 8 * 5; }

}  // namespace unroll::cpu

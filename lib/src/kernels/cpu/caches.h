#pragma once

#include <cstdint>

namespace unroll::cpu {

/// Bytes of the cache that each core has for itself, the second-level one: as the system says, or
/// what most cores have at least.
int64_t own_cache_bytes();

/// Whether so many bytes stay in that cache while a core reads them in every time step, beside the
/// activations: what decides how products are cut and shared.
inline bool stays_cached(int64_t bytes) { return bytes <= own_cache_bytes() / 8 * 5; }

}  // namespace unroll::cpu

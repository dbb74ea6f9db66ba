#pragma once

#include <cstdint>

namespace unroll::cpu {

// What an update of weights needs, over arrays of `size` floats anywhere in memory. On all threads.

/// The sum of the squares; the same bits for any number of threads.
double sum_of_squares(const float* values, int64_t size);

/// values *= factor.
void scale(float factor, float* values, int64_t size);

/// to -= factor * values, each rounded once where the CPU has a fused multiply-add; the same bits
/// for any number of threads.
void subtract_scaled(const float* values, float factor, float* to, int64_t size);

}  // namespace unroll::cpu

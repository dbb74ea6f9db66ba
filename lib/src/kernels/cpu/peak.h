#pragma once

#include <cstdint>

namespace unroll::cpu {

/// Does `rounds` rounds of multiply-adds that never leave the registers, on the calling thread:
/// what a core could reach at most. Returns how many floating-point operations that was, an
/// addition and a multiplication counting as two.
double multiply_adds(int64_t rounds);

}  // namespace unroll::cpu

#pragma once

#include <cstdint>

namespace unroll::cpu {

/// Does `rounds` rounds of multiply-adds on registers, on the calling thread: the most that a core
/// can reach. Returns the number of floating-point operations; an addition and a multiplication
/// count as two.
double multiply_adds(int64_t rounds);

}  // namespace unroll::cpu

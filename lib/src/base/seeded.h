#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>
#include <vector>

namespace unroll {

/// A generator of its own for each seed and each purpose, which numbers name; apart from
/// LibTorch's.
inline std::mt19937_64 seeded(uint64_t seed, std::initializer_list<int64_t> purpose) {
  std::vector<uint32_t> words{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (const auto number : purpose) {
    words.push_back(static_cast<uint32_t>(number));
  }
  std::seed_seq sequence(words.begin(), words.end());
  return std::mt19937_64(sequence);
}

}  // namespace unroll

#pragma once

#include <cstddef>

namespace unroll {

/// While it lives, what this thread allocates is held against what the input is worth: a reader may
/// take memory in proportion to the bytes that it was given, never to the numbers that they claim.
/// Beyond that the program ends with a message and the stack, which libFuzzer takes for a crash.
/// One at a time.
class AllocationLimit {
 public:
  struct Multiples {
    std::size_t largest;  ///< of one allocation, in bytes for each byte of the input
    std::size_t live;     ///< of all that lives at once
  };

  AllocationLimit(std::size_t input_bytes, Multiples multiples);
  ~AllocationLimit();
  AllocationLimit(const AllocationLimit&) = delete;
  AllocationLimit& operator=(const AllocationLimit&) = delete;

  /// Whatever the input: a file's buffer, an error's message, the first tables of a hash map.
  static constexpr std::size_t kLeast = std::size_t{64} << 10;
};

}  // namespace unroll

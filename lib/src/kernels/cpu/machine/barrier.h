#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace unroll::cpu {

/// Where the threads of one parallel_for wait for each other: each stands for its share of the
/// indices, so that fewer threads than asked for, even one with all shares, pass as well.
///
/// They spin: a step is over in microseconds. GCC 12's std::barrier lets them sleep, and waking up
/// takes 40 us; another parallel_for takes 1 to 2.
class Barrier {
 public:
  explicit Barrier(int64_t all_shares) : all_shares_(all_shares) {}
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  /// Comes with some shares, and returns when all have come. Everything done before is then seen by
  /// all.
  void wait(int64_t shares) {
    // Spinning for long only takes the core from somebody else, perhaps from who is waited for.
    constexpr int kSpins = 20'000;
    const int64_t arrived = arrived_.fetch_add(shares, std::memory_order_acq_rel) + shares;
    const int64_t all = (arrived + all_shares_ - 1) / all_shares_ * all_shares_;
    for (int n = 0; arrived_.load(std::memory_order_acquire) < all; ++n) {
      if (n >= kSpins) {
        std::this_thread::yield();
      }
#ifdef __x86_64__
      __builtin_ia32_pause();
#endif
    }
  }

 private:
  int64_t all_shares_;
  alignas(64) std::atomic<int64_t> arrived_{0};
};

}  // namespace unroll::cpu

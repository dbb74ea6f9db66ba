// parallel_for on std::thread. Every loop that can be split is, and every call starts new threads,
// which know of each other only what they are given: a race shows that a pool would hide.

#include <algorithm>
#include <thread>
#include <vector>

#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/threads.h"

namespace unroll::cpu {
namespace {

int64_t count_of_threads = 3;

}  // namespace

void parallel_for(int64_t begin, int64_t end, int64_t /*grain*/,
                  const std::function<void(int64_t, int64_t)>& work) {
  const int64_t parts = std::min(thread_count(), end - begin);
  std::vector<std::thread> threads;
  for (int64_t part = 0; part < parts; ++part) {
    const auto bound = [&](int64_t p) { return begin + (end - begin) * p / parts; };
    threads.emplace_back(work, bound(part), bound(part + 1));
  }
  for (auto& thread : threads) {
    thread.join();
  }
}

int64_t thread_count() { return count_of_threads; }

Threads::Threads(int64_t count) : before_(count_of_threads) { count_of_threads = count; }

Threads::~Threads() { count_of_threads = before_; }

}  // namespace unroll::cpu

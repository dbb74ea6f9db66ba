#include "emulation/simt_on_cpu.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <exception>
#include <iterator>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "emulation/fiber_stacks.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace unroll::cuda {
namespace {

struct Fiber {
  ucontext_t context{};
  char* stack = nullptr;
  int thread = 0;
  int block = 0;
};

// So many fibers wait for each other here.
struct Barrier {
  std::size_t expected = 0;
  std::vector<Fiber*> waiting;
};

constexpr int kLanes = 32;

// What the lanes of a warp give each other: values, and the operands of a product of tiles.
struct Warp {
  std::array<double, kLanes> values{};
  std::array<std::array<uint32_t, 4>, kLanes> a{};
  std::array<std::array<uint32_t, 2>, kLanes> b{};

  // A row and column of the tiles; the lanes hold them as PTX's mma.m16n8k16 says.
  float a_at(int row, int k) const {
    return half(a[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2);
  }
  float b_at(int k, int column) const { return half(b[column * 4 + k % 8 / 2][k / 8], k % 2); }

 private:
  static float half(uint32_t both, int which) {
    return std::bit_cast<float>(which == 0 ? both << 16U : both & 0xFFFF0000U);
  }
};

// What an arrivals' barrier holds.
struct Arrivals {
  int32_t bytes = 0;  // come, less those expected
  uint16_t parity = 0;
  bool is_expected = false;
  uint8_t unused = 0;
};

template <typename Change>
void change(uint64_t* arrivals, const Change& make) {
  auto now = std::bit_cast<Arrivals>(*arrivals);
  make(now);
  if (now.is_expected && now.bytes == 0) {
    now = {.bytes = 0, .parity = static_cast<uint16_t>(1 - now.parity), .is_expected = false};
  }
  *arrivals = std::bit_cast<uint64_t>(now);
}

// A word on its way into another block's memory.
struct Store {
  float* to;
  uint64_t* arrivals;
  uint32_t bits;

  void deliver() const {
    std::memcpy(to, &bits, sizeof(bits));
    change(arrivals, [](Arrivals& now) { now.bytes += sizeof(bits); });
  }
};

class Scheduler {
 public:
  Scheduler(const Grid& grid, const std::function<void()>& kernel)
      : grid_(grid),
        kernel_(kernel),
        random_(grid.seed),
        stacks_(stacks_for(static_cast<std::size_t>(grid.blocks) * grid.threads)),
        fibers_(static_cast<std::size_t>(grid.blocks) * grid.threads),
        blocks_(grid.blocks),
        warps_(fibers_.size() / kLanes),
        of_warps_(warps_.size()),
        clusters_((grid.blocks + grid.cluster - 1) / grid.cluster) {
    if (grid.blocks % grid.cluster != 0) {
      throw std::runtime_error("a grid must consist of whole clusters");
    }
    // So that blocks begin on 16 bytes.
    shared_floats_ = (grid.shared_bytes + 15) / 16 * 4;
    shared_.assign(shared_floats_ * grid.blocks + 4, std::numeric_limits<float>::quiet_NaN());
    for (auto& barrier : blocks_) {
      barrier.expected = grid.threads;
    }
    for (auto& barrier : warps_) {
      barrier.expected = kLanes;
    }
    for (auto& barrier : clusters_) {
      barrier.expected = static_cast<std::size_t>(grid.threads) * grid.cluster;
    }
  }

  void run() {
    for (std::size_t i = 0; i < fibers_.size(); ++i) {
      auto& fiber = fibers_[i];
      fiber.thread = static_cast<int>(i % grid_.threads);
      fiber.block = static_cast<int>(i / grid_.threads);
      fiber.stack = stacks_[i];
      prepare(fiber);
      ready_.push_back(&fiber);
    }
    while (unfinished_ > 0) {
      deliver_some();
      if (ready_.empty() || idle_turns_ > 100 * fibers_.size()) {
        throw std::runtime_error("threads of the grid wait for what does not come");
      }
      std::swap(ready_[random_() % ready_.size()], ready_.back());
      current_ = ready_.back();
      ready_.pop_back();
      switch_to_fiber();
      if (failure_) {
        std::rethrow_exception(failure_);
      }
    }
  }

  void sync(Barrier& barrier) {
    barrier.waiting.push_back(current_);
    idle_turns_ = 0;
    if (barrier.waiting.size() == barrier.expected) {
      ready_.insert(ready_.end(), barrier.waiting.begin(), barrier.waiting.end());
      barrier.waiting.clear();
    }
    switch_to_scheduler(false);
  }

  // Lets other fibers run while this one waits.
  void yield() {
    ++idle_turns_;
    ready_.push_back(current_);
    switch_to_scheduler(false);
  }

  void make_progress() { idle_turns_ = 0; }

  void store_later(const Store& store) { stores_.push_back(store); }

  const Fiber& current() const { return *current_; }
  const Grid& grid() const { return grid_; }
  Barrier& block_barrier() { return blocks_[current_->block]; }
  Barrier& warp_barrier() { return warps_[warp()]; }
  Warp& of_warp() { return of_warps_[warp()]; }
  Barrier& cluster_barrier() { return clusters_[current_->block / grid_.cluster]; }
  float* shared(int block) {
    auto* first = shared_.data();
    first += (16 - reinterpret_cast<std::uintptr_t>(first) % 16) % 16 / sizeof(float);
    return first + shared_floats_ * block;
  }

  static Scheduler* active;

 private:
  std::size_t warp() const {
    return static_cast<std::size_t>(current_->block * grid_.threads + current_->thread) / kLanes;
  }

  static void prepare(Fiber& fiber) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &Scheduler::enter, 0);
  }

  static void enter() {
    active->after_switch(nullptr);
    try {
      active->kernel_();
    } catch (...) {
      active->failure_ = std::current_exception();
    }
    --active->unfinished_;
    active->switch_to_scheduler(true);
  }

  // About as fast as threads store.
  void deliver_some() {
    for (auto n = random_() % 16; n > 0 && !stores_.empty(); --n) {
      std::swap(stores_[random_() % stores_.size()], stores_.back());
      stores_.back().deliver();
      stores_.pop_back();
      idle_turns_ = 0;
    }
  }

  void switch_to_fiber() {
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, current_->stack, kStackBytes);
#endif
    swapcontext(&own_, &current_->context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  }

  void switch_to_scheduler([[maybe_unused]] bool for_good) {
    auto* fiber = current_;
    void* fake = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, own_stack_, own_stack_bytes_);
#endif
    swapcontext(&fiber->context, &own_);
    after_switch(fake);
  }

  void after_switch([[maybe_unused]] void* fake) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, &own_stack_, &own_stack_bytes_);
#endif
  }

  Grid grid_;
  const std::function<void()>& kernel_;
  std::mt19937 random_;
  const FiberStacks& stacks_;
  std::vector<Fiber> fibers_;
  std::vector<Barrier> blocks_;
  std::vector<Barrier> warps_;
  std::vector<Warp> of_warps_;
  std::vector<Barrier> clusters_;
  std::vector<float> shared_;
  std::size_t shared_floats_ = 0;
  std::exception_ptr failure_;  // of a fiber, which nothing stands above
  std::vector<Store> stores_;
  std::size_t idle_turns_ = 0;  // since something was done
  std::vector<Fiber*> ready_;
  Fiber* current_ = nullptr;
  std::size_t unfinished_ = fibers_.size();
  ucontext_t own_{};
  [[maybe_unused]] const void* own_stack_ = nullptr;
  [[maybe_unused]] std::size_t own_stack_bytes_ = 0;
};

Scheduler* Scheduler::active = nullptr;

}  // namespace

int thread_index() { return Scheduler::active->current().thread; }
int block_index() { return Scheduler::active->current().block; }
int block_count() { return Scheduler::active->grid().blocks; }
float* shared_memory() { return Scheduler::active->shared(block_index()); }
void sync_block() { Scheduler::active->sync(Scheduler::active->block_barrier()); }
void sync_cluster() { Scheduler::active->sync(Scheduler::active->cluster_barrier()); }

void init_arrivals(uint64_t* arrivals) { *arrivals = std::bit_cast<uint64_t>(Arrivals{}); }

void expect_arrivals(uint64_t* arrivals, int bytes) {
  change(arrivals, [&](Arrivals& now) {
    if (now.is_expected) {
      throw std::runtime_error("arrivals are expected twice");
    }
    now.is_expected = true;
    now.bytes -= bytes;
  });
}

void wait_for_arrivals(uint64_t* arrivals, unsigned parity) {
  // A phase is over when the one in progress has the other parity.
  while (std::bit_cast<Arrivals>(*arrivals).parity == parity) {
    Scheduler::active->yield();
  }
}

void store_bits_in_cluster(void* mine, uint64_t* arrivals, int rank, uint32_t bits) {
  auto& scheduler = *Scheduler::active;
  const int cluster = scheduler.grid().cluster;
  if (cluster < 2) {
    throw std::runtime_error("a store into a cluster of one block is undefined");
  }
  auto* theirs = scheduler.shared(block_index() / cluster * cluster + rank);
  auto* on =
      reinterpret_cast<uint64_t*>(theirs + (reinterpret_cast<float*>(arrivals) - shared_memory()));
  scheduler.store_later({theirs + (static_cast<float*>(mine) - shared_memory()), on, bits});
}

double shuffle_xor_double(double value, int bits) {
  auto& scheduler = *Scheduler::active;
  auto& values = scheduler.of_warp().values;
  const int lane = thread_index() % kLanes;
  values[lane] = value;
  scheduler.sync(scheduler.warp_barrier());
  const double other = values[lane ^ bits];
  scheduler.sync(scheduler.warp_barrier());
  return other;
}

uint32_t round_to_bf16(float low, float high) {
  const auto rounded = [](float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    if (std::isnan(value)) {
      return bits >> 16U | 0x40U;
    }
    return (bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U;  // to nearest, ties to even
  };
  return rounded(low) | rounded(high) << 16U;
}

void multiply_tiles(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4]) {
  auto& scheduler = *Scheduler::active;
  auto& tiles = scheduler.of_warp();
  const int lane = thread_index() % kLanes;
  std::copy(std::begin(a), std::end(a), tiles.a[lane].begin());
  std::copy(std::begin(b), std::end(b), tiles.b[lane].begin());
  scheduler.sync(scheduler.warp_barrier());
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8;
    const int column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; ++k) {
      c[i] += tiles.a_at(row, k) * tiles.b_at(k, column);
    }
  }
  scheduler.sync(scheduler.warp_barrier());
}

void arrive(unsigned* count) {
  ++*count;
  Scheduler::active->make_progress();
}

void wait_for(const unsigned* count, unsigned target) {
  while (static_cast<int>(*count - target) < 0) {
    Scheduler::active->yield();
  }
}

void leave(unsigned* count, unsigned last) {
  ++*count;
  if (*count == last) {
    *count = 0;
  }
}

bool is_last_arrival(unsigned* count, unsigned blocks) {
  Scheduler::active->make_progress();
  *count = (*count + 1) % blocks;
  return *count == 0;
}

void run(const Grid& grid, const std::function<void()>& kernel) {
  Scheduler scheduler(grid, kernel);
  Scheduler::active = &scheduler;
  try {
    scheduler.run();
  } catch (...) {
    Scheduler::active = nullptr;
    throw;
  }
  Scheduler::active = nullptr;
}

}  // namespace unroll::cuda

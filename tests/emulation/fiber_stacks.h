#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <stdexcept>

namespace unroll::cuda {

constexpr std::size_t kStackBytes = std::size_t{64} << 10;

/// The stacks of all fibers; a page is only there once it is used.
class FiberStacks {
 public:
  explicit FiberStacks(std::size_t count) : bytes_(count * kStackBytes) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_ == MAP_FAILED) {
      throw std::runtime_error("no memory for the stacks of a grid");
    }
  }
  ~FiberStacks() { munmap(memory_, bytes_); }
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  char* operator[](std::size_t i) const { return static_cast<char*>(memory_) + i * kStackBytes; }
  std::size_t size() const { return bytes_ / kStackBytes; }

 private:
  std::size_t bytes_;
  void* memory_;
};

/// One grid after the other has the same, as the first use of a page costs more than a switch.
inline const FiberStacks& stacks_for(std::size_t count) {
  thread_local std::unique_ptr<FiberStacks> stacks;
  if (!stacks || stacks->size() < count) {
    stacks.reset();
    stacks = std::make_unique<FiberStacks>(count);
  }
  return *stacks;
}

}  // namespace unroll::cuda

#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace unroll::cpu {

/// An array on 64-byte boundaries; a long one lies on huge pages where the system has them, so that
/// weights which are read in every time step do not miss in the table of pages.
template <typename T>
class AlignedArray {
 public:
  /// Makes room for `size` values, which it leaves as they are.
  void reserve(int64_t size) {
    if (size > capacity_) {
      auto bytes = static_cast<std::size_t>(size) * sizeof(T);
      const bool huge = bytes >= kHuge / 4;
      if (huge) {
        bytes = (bytes + kHuge - 1) / kHuge * kHuge;  // a page is huge as a whole or not at all
      }
      const auto alignment = std::align_val_t{huge ? kHuge : kAlignment};
      data_ = {static_cast<T*>(::operator new(bytes, alignment)), Free{alignment}};
      capacity_ = size;
#ifdef MADV_HUGEPAGE
      if (huge) {
        madvise(data_.get(), bytes, MADV_HUGEPAGE);  // a wish, which may fail
      }
#endif
    }
  }
  /// Makes room for `size` values and zeroes them.
  void assign_zeros(int64_t size) {
    reserve(size);
    std::fill_n(data_.get(), size, T{});
  }

  T* data() const { return data_.get(); }

 private:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kHuge = std::size_t{1} << 21;
  struct Free {
    std::align_val_t alignment{kAlignment};
    void operator()(T* data) const { ::operator delete(data, alignment); }
  };

  std::unique_ptr<T, Free> data_;
  int64_t capacity_ = 0;
};

}  // namespace unroll::cpu

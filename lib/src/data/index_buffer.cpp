#include "data/index_buffer.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace unroll {
namespace {

constexpr std::size_t kLeastCapacity = std::size_t{1} << 16;
constexpr std::size_t kWideBytes = sizeof(int32_t);

int32_t wide_at(const uint8_t* at) {
  int32_t index = 0;
  std::memcpy(&index, at, kWideBytes);
  return index;
}

void put_wide(uint8_t* at, int32_t index) { std::memcpy(at, &index, kWideBytes); }

}  // namespace

void IndexBuffer::reserve(std::size_t more) {
  if (bytes_ + more <= capacity_) {
    return;
  }
  // What is not written yet takes no memory, only addresses.
  const auto capacity = std::max({bytes_ + more, 2 * capacity_, kLeastCapacity});
  auto* grown = static_cast<uint8_t*>(std::realloc(data_.get(), capacity));
  if (grown == nullptr) {
    throw std::bad_alloc();
  }
  static_cast<void>(data_.release());
  data_.reset(grown);
  capacity_ = capacity;
}

void IndexBuffer::push_long(int32_t index) {
  if (!wide_) {
    reserve(kWideBytes + 1);
    put_wide(data_.get() + bytes_, index);
    data_.get()[bytes_ + kWideBytes] = kOneByte;
    bytes_ += kWideBytes + 1;
    // Three bytes each or less, so that an index of four in its place lies behind all before it.
    if (bytes_ > 3 * size_) {
      widen();
    }
    return;
  }
  reserve(kWideBytes);
  put_wide(data_.get() + bytes_, index);
  bytes_ += kWideBytes;
}

// Calls put(i, index) for each i from the last to the first.
template <typename Put>
void IndexBuffer::unpack(const Put& put) const {
  const auto* end = data_.get() + bytes_;
  for (auto i = size_; i-- > 0;) {
    int32_t index = *--end;
    if (index == kOneByte) {
      end -= kWideBytes;
      index = wide_at(end);
    }
    put(i, index);
  }
}

void IndexBuffer::widen() {
  reserve(kWideBytes * size_ - std::min(kWideBytes * size_, bytes_));
  auto* data = data_.get();
  unpack([&](std::size_t i, int32_t index) { put_wide(data + kWideBytes * i, index); });
  bytes_ = kWideBytes * size_;
  wide_ = true;
}

torch::Tensor IndexBuffer::release(std::span<const int32_t> final_index, torch::Dtype dtype) {
  const bool narrow = dtype == torch::kUInt8;
  auto* data = data_.get();
  if (narrow && wide_) {
    for (std::size_t i = 0; i < size_; ++i) {
      data[i] = static_cast<uint8_t>(final_index[wide_at(data + kWideBytes * i)]);
    }
  } else if (narrow) {
    // Each index takes a byte or more, so that the row fits behind what is still packed.
    auto* row = data + (bytes_ - size_);
    unpack(
        [&](std::size_t i, int32_t index) { row[i] = static_cast<uint8_t>(final_index[index]); });
    std::memmove(data, row, size_);
  } else {
    if (!wide_) {
      widen();
      data = data_.get();
    }
    for (std::size_t i = 0; i < size_; ++i) {
      put_wide(data + kWideBytes * i, final_index[wide_at(data + kWideBytes * i)]);
    }
  }
  const auto bytes = narrow ? size_ : kWideBytes * size_;
  if (auto* fitted =
          static_cast<uint8_t*>(std::realloc(data_.get(), std::max<std::size_t>(bytes, 1)));
      fitted != nullptr) {
    static_cast<void>(data_.release());
    data_.reset(fitted);
  }
  auto* owned = data_.release();
  return torch::from_blob(
      owned, {size()}, [](void* memory) { std::free(memory); },
      torch::TensorOptions().dtype(dtype));
}

}  // namespace unroll

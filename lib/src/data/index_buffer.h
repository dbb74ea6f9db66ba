#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

namespace unroll {

/// A vocabulary of at most so many entries needs one byte an index.
inline constexpr int64_t kNarrowSize = 256;

/// The dtype of a corpus' indices.
inline torch::ScalarType index_dtype(int64_t vocab_size) {
  return vocab_size <= kNarrowSize ? torch::kUInt8 : torch::kInt32;
}

/// A growing row of token indices that takes little more memory than its final tensor.
///
/// Indices below 255 take one byte. Others take five, of which the last is 255 so that the row is
/// read from its end; where those are so many that four bytes each are less, all take four. The
/// memory grows by realloc, which moves pages of a large block and does not copy them.
class IndexBuffer {
 public:
  /// Indices below it take one byte.
  static constexpr int32_t kOneByte = 255;

  /// Throws std::bad_alloc, as growing does.
  void push_back(int32_t index) {
    ++size_;
    if (index < kOneByte && !wide_) {
      if (bytes_ == capacity_) {
        reserve(1);
      }
      data_.get()[bytes_++] = static_cast<uint8_t>(index);
    } else {
      push_long(index);
    }
  }

  /// Room for at most `size` indices of one byte, which take() then makes part of the row; nothing
  /// where one byte each is no longer how they are kept.
  std::span<uint8_t> room(std::size_t size) {
    if (wide_) {
      return {};
    }
    reserve(size);
    return {data_.get() + bytes_, size};
  }

  /// Takes the first `size` indices from the room, all below kOneByte.
  void take(std::size_t size) {
    bytes_ += size;
    size_ += size;
  }

  int64_t size() const { return static_cast<int64_t>(size_); }

  /// Bytes that the row takes before release().
  int64_t bytes() const { return static_cast<int64_t>(bytes_); }

  /// Hands the row over, (N) of `dtype` (uint8 or int32), with `final_index[i]` in place of each i.
  torch::Tensor release(std::span<const int32_t> final_index, torch::Dtype dtype);

 private:
  struct Free {
    void operator()(uint8_t* data) const { std::free(data); }
  };

  void reserve(std::size_t more);
  void push_long(int32_t index);
  template <typename Put>
  void unpack(const Put& put) const;
  void widen();

  std::unique_ptr<uint8_t, Free> data_;
  std::size_t bytes_ = 0;     // in use
  std::size_t capacity_ = 0;  // bytes
  std::size_t size_ = 0;      // indices
  bool wide_ = false;         // four bytes each
};

}  // namespace unroll

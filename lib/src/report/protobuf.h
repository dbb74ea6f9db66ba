#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace unroll {

/// Appends a number of `size` bytes, the least significant first.
inline void append_little_endian(std::string& bytes, uint64_t value, int size) {
  for (int i = 0; i < size; ++i) {
    bytes += static_cast<char>(value >> (8 * i));
  }
}

/// A message of Protocol Buffers in their wire format, written field by field
/// (https://protobuf.dev/programming-guides/encoding). Fields are named by their numbers.
class ProtobufMessage {
 public:
  /// An int64 that is not negative, or a value of an enumeration.
  ProtobufMessage& integer(int field, int64_t value) {
    key(field, 0);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  ProtobufMessage& float64(int field, double value) {
    key(field, 1);
    append_little_endian(bytes_, std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  ProtobufMessage& float32(int field, float value) {
    key(field, 5);
    append_little_endian(bytes_, std::bit_cast<uint32_t>(value), 4);
    return *this;
  }
  /// Bytes, or a string, which must be UTF-8.
  ProtobufMessage& string(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  ProtobufMessage& message(int field, const ProtobufMessage& value) {
    return string(field, value.bytes_);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void key(int field, int wire_type) { varint(static_cast<uint64_t>(field << 3 | wire_type)); }
  // Seven bits a byte, the least significant first; the eighth says that more follow.
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      bytes_ += static_cast<char>(value | 0x80);
    }
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace unroll

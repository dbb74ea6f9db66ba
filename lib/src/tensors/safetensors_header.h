#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace unroll {

/// The format's own bound on the header: a longer one is refused by its other readers too.
inline constexpr uint64_t kMostHeaderBytes = 100'000'000;

/// What a safetensors file's JSON header says.
struct SafeTensorsHeader {
  /// One tensor: its bytes are those from `begin` to `end` behind the header.
  struct Entry {
    std::string name;
    c10::ScalarType dtype = c10::ScalarType::Float;
    std::vector<int64_t> shape = {};
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  std::vector<Entry> entries;  ///< in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// Reads a header of the one shape that the format has, `{name: {dtype, shape, data_offsets}}` and
/// `"__metadata__": {name: text}`, in memory that is a small multiple of the text's: whatever else
/// stands there is refused where it begins. The tensors must fill `data_bytes` without gap or
/// overlap. Throws Error, naming the file and what is wrong.
SafeTensorsHeader parse_header(const std::string& file, const std::string& text,
                               uint64_t data_bytes);

/// What the format calls a dtype. Throws Error for one that it has no name for.
const char* dtype_name(c10::ScalarType dtype);

}  // namespace unroll

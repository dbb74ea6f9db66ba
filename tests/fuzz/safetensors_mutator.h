#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace unroll {

/// A safetensors file in parts, well formed or not.
struct SafeTensorsParts {
  std::string header;
  std::string data;
  std::optional<uint64_t> length;  ///< of the header, where the file is not to tell the true one

  /// Nothing where a file does not hold its header.
  static std::optional<SafeTensorsParts> of(std::string_view file);

  /// The header as JSON; discarded when it is none.
  nlohmann::ordered_json json() const;

  /// Writes the file; returns its size, 0 when that is above `most`.
  std::size_t write(uint8_t* file, std::size_t most) const;
};

/// Mutates the parts so that, mostly, they still belong together where chance would seldom have it:
/// a header's length fits, data_offsets fit the shapes, a text within JSON is escaped.
void mutate(SafeTensorsParts& parts, std::minstd_rand& random);

}  // namespace unroll

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace unroll {

/// A safetensors file in parts, well formed or not.
struct SafeTensorsParts {
  std::string header;  ///< without its length
  std::string data;

  /// Nothing where a file does not hold its header.
  static std::optional<SafeTensorsParts> of(std::string_view file);

  /// The header as JSON; discarded when it is none.
  nlohmann::ordered_json json() const;
};

/// What both mutators of safetensors files do, as libFuzzer's LLVMFuzzerCustomMutator: most
/// mutations are such that the parts still belong together, where chance would seldom have it: the
/// header's length and the data_offsets fit, a text within JSON is escaped, one value is replaced
/// by another. `finish` may mend more.
std::size_t mutate_safetensors(uint8_t* file, std::size_t size, std::size_t most, unsigned seed,
                               const std::function<void(SafeTensorsParts&)>& finish = {});

/// Keeps a file that could be read, for mutations to begin with. Of libFuzzer's corpus most cannot
/// be read, since each message is news to it.
void keep_readable(std::string_view file);

}  // namespace unroll

#include "safetensors_mutator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(uint8_t* data, std::size_t size, std::size_t most);

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostGrowth = 256;   // bytes that a mutation may add to a part
constexpr uint64_t kMostTensor = 1 << 16;  // bytes that are made up for a mutated shape

void mutate_bytes(std::string& bytes) {
  const auto size = bytes.size();
  bytes.resize(size + kMostGrowth);
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), size, bytes.size()));
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Mutates one of the texts of __metadata__, among them the JSON in JSON that is the config.
void mutate_metadata(SafeTensorsParts& parts, std::minstd_rand& random) {
  auto json = parts.json();
  if (!json.is_object() || !json.contains("__metadata__")) {
    return;
  }
  auto& metadata = json["__metadata__"];
  if (!metadata.is_object() || metadata.empty()) {
    return;
  }
  // Of several, the longest is the one with something in it.
  const auto at =
      random() % 2 == 0
          ? std::next(metadata.begin(), static_cast<std::ptrdiff_t>(random() % metadata.size()))
          : std::max_element(metadata.begin(), metadata.end(), [](const Json& a, const Json& b) {
              return text_of(a).size() < text_of(b).size();
            });
  if (at->is_string()) {
    mutate_bytes(at->get_ref<std::string&>());
    parts.header = text_of(json);
  }
}

uint64_t bytes_of(const Json& tensor) {
  static const std::map<std::string, uint64_t> kSizes{
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
      {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  const auto dtype = tensor.value("dtype", Json());
  const auto known = dtype.is_string() ? kSizes.find(dtype.get<std::string>()) : kSizes.end();
  const auto shape = tensor.value("shape", Json());
  if (known == kSizes.end() || !shape.is_array()) {
    return 0;
  }
  uint64_t bytes = known->second;
  for (const auto& size : shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > kMostTensor) {
      return 0;
    }
    bytes = std::min(bytes * size.get<uint64_t>(), kMostTensor);
  }
  return bytes;
}

// Lays the tensors one behind the other, in the header's order.
void fit_offsets(SafeTensorsParts& parts) {
  auto json = parts.json();
  if (!json.is_object()) {
    return;
  }
  uint64_t offset = 0;
  for (auto& [name, tensor] : json.items()) {
    if (name != "__metadata__" && tensor.is_object()) {
      const auto end = offset + bytes_of(tensor);
      tensor["data_offsets"] = {offset, end};
      offset = end;
    }
  }
  parts.header = text_of(json);
  parts.data.resize(offset);
}

}  // namespace

std::optional<SafeTensorsParts> SafeTensorsParts::of(std::string_view file) {
  uint64_t size = 0;
  if (file.size() < sizeof size) {
    return std::nullopt;
  }
  std::memcpy(&size, file.data(), sizeof size);
  file.remove_prefix(sizeof size);
  if (size > file.size()) {
    return std::nullopt;
  }
  return SafeTensorsParts{.header = std::string(file.substr(0, size)),
                          .data = std::string(file.substr(size))};
}

Json SafeTensorsParts::json() const { return Json::parse(header, nullptr, false); }

std::size_t SafeTensorsParts::write(uint8_t* file, std::size_t most) const {
  const uint64_t told = length.value_or(header.size());
  const auto size = sizeof told + header.size() + data.size();
  if (size > most) {
    return 0;
  }
  std::memcpy(file, &told, sizeof told);
  std::copy(header.begin(), header.end(), file + sizeof told);
  std::copy(data.begin(), data.end(), file + sizeof told + header.size());
  return size;
}

void mutate(SafeTensorsParts& parts, std::minstd_rand& random) {
  if (random() % 32 == 0) {
    parts.length = parts.header.size() ^ uint64_t { 1 } << random() % 64;
    return;
  }
  switch (random() % 4) {
    case 0:
      mutate_bytes(parts.data);
      break;
    case 1:
      mutate_bytes(parts.header);
      break;
    default:
      mutate_metadata(parts, random);
  }
  if (random() % 2 == 0) {
    fit_offsets(parts);
  }
}

}  // namespace unroll

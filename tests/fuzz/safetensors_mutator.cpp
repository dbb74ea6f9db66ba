#include "safetensors_mutator.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <utility>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(uint8_t* data, std::size_t size, std::size_t most);

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostGrowth = 256;    // bytes that a mutation may add to a part
constexpr std::size_t kMostReadable = 256;  // files that are kept
constexpr uint64_t kMostTensor = 1 << 16;   // bytes that are made up for a mutated shape

std::vector<std::string> readable;

void mutate_bytes(std::string& bytes) {
  const auto size = bytes.size();
  bytes.resize(size + kMostGrowth);
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), size, bytes.size()));
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// All values within `json` that are no lists or objects themselves, and those that are empty.
void collect_leaves(Json& json, std::vector<Json*>& leaves) {
  if (!json.is_structured() || json.empty()) {
    leaves.push_back(&json);
    return;
  }
  for (auto& value : json) {
    collect_leaves(value, leaves);
  }
}

// Puts another value in the place of one: chance alone would seldom hit all its bytes at once.
void replace_value(Json& json, std::minstd_rand& random) {
  static const std::vector<Json> kValues{
      0,       1,         -1,        2,         255,           256,
      0.5,     1e300,     -0.0,      nullptr,   true,          "",
      "x",     "U8",      "F64",     "none",    Json::array(), Json::object(),
      1 << 20, INT32_MAX, INT64_MAX, INT64_MIN, UINT64_MAX,    uint64_t{1} << 63};
  std::vector<Json*> leaves;
  collect_leaves(json, leaves);
  auto& leaf = *leaves[random() % leaves.size()];
  leaf = random() % 4 == 0 ? Json(*leaves[random() % leaves.size()])
                           : kValues[random() % kValues.size()];
}

// Mutates one of the texts of __metadata__: the longest, which is the JSON in JSON of a config, or
// any.
void mutate_metadata(Json& header, std::minstd_rand& random) {
  std::vector<std::string*> texts;
  if (header.is_object() && header.contains("__metadata__")) {
    for (auto& value : header["__metadata__"]) {
      if (value.is_string()) {
        texts.push_back(value.get_ptr<std::string*>());
      }
    }
  }
  if (texts.empty()) {
    return;
  }
  auto& text =
      random() % 8 == 0
          ? *texts[random() % texts.size()]
          : **std::max_element(texts.begin(), texts.end(),
                               [](const auto* a, const auto* b) { return a->size() < b->size(); });
  auto json = Json::parse(text, nullptr, false);
  if (json.is_structured() && random() % 8 != 0) {
    replace_value(json, random);
    text = text_of(json);
  } else {
    mutate_bytes(text);
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

// Lays the tensors one behind the other, in the header's order; returns the bytes that they take.
uint64_t fit_offsets(Json& header) {
  uint64_t offset = 0;
  for (auto& [name, tensor] : header.items()) {
    if (name != "__metadata__" && tensor.is_object()) {
      const auto end = offset + bytes_of(tensor);
      tensor["data_offsets"] = {offset, end};
      offset = end;
    }
  }
  return offset;
}

// Most mutations keep a file that can be read, but for one thing.
void mutate(SafeTensorsParts& parts, std::minstd_rand& random) {
  auto header = parts.json();
  const auto choice = random() % 16;
  if (choice < 2) {
    mutate_bytes(parts.data);
  } else if (choice == 2 || !header.is_object()) {
    mutate_bytes(parts.header);
    return;
  } else if (choice < 6) {
    replace_value(header, random);
  } else {
    mutate_metadata(header, random);
  }
  if (random() % 8 != 0 && header.is_object()) {
    parts.data.resize(fit_offsets(header));
  }
  parts.header = text_of(header);
}

// Writes the file, which holds this length of its header; returns its size, 0 when that is above
// `most`.
std::size_t write(const SafeTensorsParts& parts, uint64_t length, uint8_t* file, std::size_t most) {
  const auto size = sizeof length + parts.header.size() + parts.data.size();
  if (size > most) {
    return 0;
  }
  std::memcpy(file, &length, sizeof length);
  file = std::copy(parts.header.begin(), parts.header.end(), file + sizeof length);
  std::copy(parts.data.begin(), parts.data.end(), file);
  return size;
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

std::size_t mutate_safetensors(uint8_t* file, std::size_t size, std::size_t most, unsigned seed,
                               const std::function<void(SafeTensorsParts&)>& finish) {
  std::minstd_rand random(seed);
  std::string_view from(reinterpret_cast<const char*>(file), size);
  if (!readable.empty() && random() % 4 != 0) {
    from = readable[random() % readable.size()];
  }
  auto parts = SafeTensorsParts::of(from);
  if (!parts || random() % 32 == 0) {
    return LLVMFuzzerMutate(file, size, most);
  }
  mutate(*parts, random);
  if (finish) {
    finish(*parts);
  }
  const uint64_t length = parts->header.size();
  const uint64_t another = length ^ uint64_t { 1 } << random() % 64;
  const auto mutated = write(*parts, random() % 32 == 0 ? another : length, file, most);
  return mutated > 0 ? mutated : LLVMFuzzerMutate(file, size, most);
}

void keep_readable(std::string_view file) {
  static std::size_t count = 0;
  const auto at = count++ % kMostReadable;
  readable.resize(std::max(readable.size(), at + 1));
  readable[at] = file;
}

}  // namespace unroll

#include "unroll/safetensors.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "atomic_file.h"
#include "unroll/error.h"

namespace unroll {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

using Json = nlohmann::ordered_json;

// The format's own bound on the header: a longer one is refused by its other readers too.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

constexpr std::array<std::pair<const char*, torch::ScalarType>, 10> kDtypes{{
    {"F64", torch::kFloat64},
    {"F32", torch::kFloat32},
    {"F16", torch::kFloat16},
    {"BF16", torch::kBFloat16},
    {"I64", torch::kInt64},
    {"I32", torch::kInt32},
    {"I16", torch::kInt16},
    {"I8", torch::kInt8},
    {"U8", torch::kUInt8},
    {"BOOL", torch::kBool},
}};

const char* dtype_name(torch::ScalarType type) {
  for (const auto& [name, dtype] : kDtypes) {
    if (dtype == type) {
      return name;
    }
  }
  throw Error(fmt::format("safetensors has no name for the dtype {}", torch::toString(type)));
}

// One tensor as the header describes it, checked.
struct Entry {
  std::string name;
  torch::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin;
  uint64_t end;
};

// The JSON header of a file, every number in it checked against the file's size.
class Header {
 public:
  Header(std::string file, const std::string& text, uint64_t data_bytes)
      : file_(std::move(file)), data_bytes_(data_bytes) {
    const auto json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      fail("its header is not a JSON object");
    }
    for (const auto& [name, value] : json.items()) {
      if (name == "__metadata__") {
        add_metadata(value);
      } else {
        add_entry(name, value);
      }
    }
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      return std::pair{a.begin, a.end} < std::pair{b.begin, b.end};
    });
    uint64_t expected = 0;
    for (const auto& entry : entries_) {
      if (entry.begin != expected) {
        fail(fmt::format("tensor '{}' starts at byte {}, expected {}", entry.name, entry.begin,
                         expected));
      }
      expected = entry.end;
    }
    if (expected != data_bytes_) {
      fail(fmt::format("its tensors take {} bytes, but {} follow the header", expected,
                       data_bytes_));
    }
  }

  const std::vector<Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: is not a whole safetensors file: {}", file_, what));
  }

  void add_metadata(const Json& value) {
    if (!value.is_object()) {
      fail("__metadata__ is not an object");
    }
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) {
        fail(fmt::format("__metadata__ '{}' is not a string", key));
      }
      metadata_[key] = text.get<std::string>();
    }
  }

  void add_entry(const std::string& name, const Json& value) {
    const auto bad = [&](const char* what) { fail(fmt::format("tensor '{}' has {}", name, what)); };
    if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
        !value.contains("data_offsets")) {
      bad("no dtype, shape or data_offsets");
    }
    const auto& dtype = value["dtype"];
    const auto* known = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const auto& candidate) {
      return dtype.is_string() && dtype.get_ref<const std::string&>() == candidate.first;
    });
    if (known == kDtypes.end()) {
      bad("a dtype that is not known");
    }
    const auto& offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      bad("data_offsets that are not two numbers");
    }
    Entry entry{.name = name,
                .dtype = known->second,
                .shape = {},
                .begin = offsets[0].get<uint64_t>(),
                .end = offsets[1].get<uint64_t>()};
    if (entry.begin > entry.end || entry.end > data_bytes_) {
      bad("data_offsets outside the file");
    }
    if (!value["shape"].is_array()) {
      bad("a shape that is not a list");
    }
    const uint64_t bytes = entry.end - entry.begin;
    uint64_t expected = torch::elementSize(entry.dtype);
    bool has_zero = false;
    for (const auto& size : value["shape"]) {
      if (!size.is_number_unsigned() ||
          size.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        bad("a shape that is not of sizes");
      }
      const auto length = size.get<uint64_t>();
      entry.shape.push_back(static_cast<int64_t>(length));
      has_zero = has_zero || length == 0;
      if (length != 0 && expected > std::numeric_limits<uint64_t>::max() / length) {
        bad("a shape that is too large");
      }
      expected *= std::max<uint64_t>(length, 1);
    }
    if ((has_zero ? 0 : expected) != bytes) {
      bad("a shape that does not fit its bytes");
    }
    entries_.push_back(std::move(entry));
  }

  std::string file_;
  uint64_t data_bytes_;
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace

void save_safetensors(const std::filesystem::path& path, const SafeTensors& content) {
  Json header = Json::object();
  header["__metadata__"] = content.metadata;
  std::vector<torch::Tensor> tensors;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : content.tensors) {
    tensors.push_back(tensor.detach().to(torch::kCPU).contiguous());
    const uint64_t end = offset + tensors.back().nbytes();
    header[name] = {{"dtype", dtype_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& error) {
    throw Error(fmt::format("{}: its header cannot be written: {}", path.string(), error.what()));
  }
  // Spaces behind the header put the tensors on a multiple of eight bytes.
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t size = text.size();
  if (size > kMaxHeaderBytes) {
    throw Error(
        fmt::format("{}: its header would have {} bytes, a safetensors file's has at most {}",
                    path.string(), size, kMaxHeaderBytes));
  }

  AtomicFile file(path);
  file.write(&size, sizeof size);
  file.write(text.data(), text.size());
  for (const auto& tensor : tensors) {
    file.write(tensor.data_ptr(), tensor.nbytes());
  }
  file.commit();
}

SafeTensors load_safetensors(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw Error(fmt::format("{}: is a directory, expected a safetensors file", name));
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    throw Error(fmt::format("{}: cannot be opened: {}", name, std::strerror(errno)));
  }
  const auto file_bytes = static_cast<uint64_t>(file.tellg());
  file.seekg(0);
  uint64_t header_bytes = 0;
  if (file_bytes < sizeof header_bytes ||
      !file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes) ||
      header_bytes > std::min(kMaxHeaderBytes, file_bytes - sizeof header_bytes)) {
    throw Error(fmt::format("{}: is not a whole safetensors file: {} bytes do not hold its header",
                            name, file_bytes));
  }
  std::string text(header_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  const Header header(name, text, file_bytes - sizeof header_bytes - header_bytes);

  SafeTensors content{.tensors = {}, .metadata = header.metadata()};
  for (const auto& entry : header.entries()) {
    auto tensor = torch::empty(entry.shape, torch::TensorOptions().dtype(entry.dtype));
    file.read(static_cast<char*>(tensor.data_ptr()),
              static_cast<std::streamsize>(entry.end - entry.begin));
    content.tensors.push_back({entry.name, std::move(tensor)});
  }
  if (!file) {
    throw Error(fmt::format("{}: cannot be read: {}", name, std::strerror(errno)));
  }
  return content;
}

void check_writable(const std::filesystem::path& path) { const AtomicFile file(path); }

}  // namespace unroll

#include "tensors/safetensors_header.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/abridged.h"
#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Entry = SafeTensorsHeader::Entry;

constexpr std::string_view kMetadata = "__metadata__";
constexpr std::size_t kMostSizes = 64;  // LibTorch's operations take no tensor of more dimensions

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

[[noreturn]] void fail(const std::string& what) { throw Error(what); }

[[noreturn]] void fail(const std::string& tensor, std::string_view has) {
  fail(formatted("tensor '{}' has {}", abridged(tensor), has));
}

// Throws Error unless the entry's numbers agree with each other and with the file's.
void check(const Entry& entry, uint64_t data_bytes) {
  if (entry.begin > entry.end || entry.end > data_bytes) {
    fail(entry.name, "data_offsets outside the file");
  }
  auto bytes = static_cast<int64_t>(torch::elementSize(entry.dtype));
  for (const auto size : entry.shape) {
    // Beside a size of 0 too, so that no product of some of the sizes overflows.
    const auto factor = std::max<int64_t>(size, 1);
    if (bytes > std::numeric_limits<int64_t>::max() / factor) {
      fail(entry.name, "a shape that is too large");
    }
    bytes *= factor;
  }
  const bool is_empty = std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end();
  if (entry.end - entry.begin != (is_empty ? 0 : static_cast<uint64_t>(bytes))) {
    fail(entry.name, "a shape that does not fit its bytes");
  }
}

// Takes the JSON text piece by piece and keeps what it says; throws Error at the first piece
// that the format does not have there.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(uint64_t data_bytes) : data_bytes_(data_bytes) {}

  SafeTensorsHeader release() { return std::move(header_); }

  bool start_object(std::size_t /*unknown*/) override {
    if (at_ == At::kStart) {
      at_ = At::kHeader;
    } else if (at_ == At::kHeader && name_ == kMetadata) {
      at_ = At::kMetadata;
    } else if (at_ == At::kHeader) {
      at_ = At::kTensor;
      entry_ = {.name = name_};
      offsets_ = 0;
      fields_.fill(false);
    } else {
      refuse();
    }
    return true;
  }

  bool key(std::string& name) override {
    if (at_ == At::kTensor) {
      field_ = field_of(name);
      auto& is_there = fields_[static_cast<std::size_t>(field_)];
      if (is_there) {
        fail(entry_.name, formatted("{} twice", abridged(name)));
      }
      is_there = true;
      return true;
    }
    name_ = name;
    if (at_ == At::kHeader && name == kMetadata && std::exchange(has_metadata_, true)) {
      fail("__metadata__ stands there twice");
    }
    if (at_ == At::kMetadata && header_.metadata.contains(name)) {
      fail(formatted("__metadata__ has '{}' twice", abridged(name)));
    }
    return true;
  }

  bool end_object() override {
    if (at_ == At::kTensor) {
      if (std::find(fields_.begin(), fields_.end(), false) != fields_.end()) {
        refuse_tensor();
      }
      check(entry_, data_bytes_);
      header_.entries.push_back(std::move(entry_));
    }
    at_ = at_ == At::kHeader ? At::kEnd : At::kHeader;
    return true;
  }

  bool start_array(std::size_t /*unknown*/) override {
    if (at_ != At::kTensor || field_ == Field::kDtype) {
      refuse();
    }
    at_ = field_ == Field::kShape ? At::kShape : At::kOffsets;
    return true;
  }

  bool end_array() override {
    if (at_ == At::kOffsets && offsets_ != 2) {
      refuse();
    }
    at_ = At::kTensor;
    return true;
  }

  bool string(std::string& text) override {
    if (at_ == At::kMetadata) {
      header_.metadata.emplace(name_, text);
    } else if (at_ == At::kTensor && field_ == Field::kDtype) {
      const auto* known = std::find_if(kDtypes.begin(), kDtypes.end(),
                                       [&](const auto& dtype) { return text == dtype.first; });
      if (known == kDtypes.end()) {
        refuse();
      }
      entry_.dtype = known->second;
    } else {
      refuse();
    }
    return true;
  }

  bool number_unsigned(uint64_t number) override {
    if (at_ == At::kShape) {
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        refuse();
      }
      if (entry_.shape.size() == kMostSizes) {
        fail(entry_.name, formatted("a shape of more than {} sizes", kMostSizes));
      }
      entry_.shape.push_back(static_cast<int64_t>(number));
    } else if (at_ == At::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? entry_.begin : entry_.end) = number;
    } else {
      refuse();
    }
    return true;
  }

  bool null() override { refuse(); }
  bool boolean(bool /*value*/) override { refuse(); }
  bool number_integer(int64_t /*negative*/) override { refuse(); }
  bool number_float(double /*value*/, const std::string& /*text*/) override { refuse(); }
  bool binary(nlohmann::json::binary_t& /*value*/) override { refuse(); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    fail(formatted("its header is not JSON from byte {} on", position));
  }

 private:
  // What the next piece is within; kEnd is behind it all.
  enum class At { kStart, kHeader, kMetadata, kTensor, kShape, kOffsets, kEnd };
  enum class Field { kDtype, kShape, kOffsets };

  Field field_of(const std::string& name) const {
    if (name == "dtype") {
      return Field::kDtype;
    }
    if (name == "shape") {
      return Field::kShape;
    }
    if (name == "data_offsets") {
      return Field::kOffsets;
    }
    fail(entry_.name, formatted("'{}' beside dtype, shape and data_offsets", abridged(name)));
  }

  [[noreturn]] void refuse_tensor() const { fail(name_, "no dtype, shape or data_offsets"); }

  // Says what is expected where a value of another type stands.
  [[noreturn]] void refuse() const {
    switch (at_) {
      case At::kHeader:
        if (name_ == kMetadata) {
          fail("__metadata__ is not an object");
        }
        refuse_tensor();
      case At::kMetadata:
        fail(formatted("__metadata__ '{}' is not a string", abridged(name_)));
      case At::kTensor:
        fail(entry_.name, field_ == Field::kDtype   ? "a dtype that is not known"
                          : field_ == Field::kShape ? "a shape that is not a list"
                                                    : "data_offsets that are not two numbers");
      case At::kShape:
        fail(entry_.name, "a shape that is not of sizes");
      case At::kOffsets:
        fail(entry_.name, "data_offsets that are not two numbers");
      case At::kStart:
      case At::kEnd:
        break;
    }
    fail("its header is not a JSON object");
  }

  uint64_t data_bytes_;
  SafeTensorsHeader header_;
  At at_ = At::kStart;
  std::string name_;  // the key that was read last, but for a tensor's fields
  bool has_metadata_ = false;
  Entry entry_;  // the tensor being read
  Field field_ = Field::kDtype;
  int offsets_ = 0;               // how many of its data_offsets were read
  std::array<bool, 3> fields_{};  // which of its fields were
};

// Throws Error when two entries have one name.
void check_names(const std::vector<Entry>& entries) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const auto& entry : entries) {
    names.emplace_back(entry.name);
  }
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    fail(formatted("tensor '{}' stands there twice", abridged(*twice)));
  }
}

// Puts the entries in the order of their bytes; throws Error unless these are all of the file's.
void order(std::vector<Entry>& entries, uint64_t data_bytes) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair{a.begin, a.end} < std::pair{b.begin, b.end};
  });
  uint64_t expected = 0;
  for (const auto& entry : entries) {
    if (entry.begin != expected) {
      fail(formatted("tensor '{}' starts at byte {}, expected {}", abridged(entry.name),
                     entry.begin, expected));
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    fail(formatted("its tensors take {} bytes, but {} follow the header", expected, data_bytes));
  }
}

}  // namespace

SafeTensorsHeader parse_header(const std::string& file, const std::string& text,
                               uint64_t data_bytes) {
  try {
    HeaderReader reader(data_bytes);
    nlohmann::json::sax_parse(text, &reader);
    auto header = reader.release();
    check_names(header.entries);
    order(header.entries, data_bytes);
    return header;
  } catch (const Error& error) {
    throw Error(formatted("{}: is not a whole safetensors file: {}", file, error.what()));
  }
}

const char* dtype_name(torch::ScalarType dtype) {
  for (const auto& [name, known] : kDtypes) {
    if (known == dtype) {
      return name;
    }
  }
  throw Error(formatted("safetensors has no name for the dtype {}", torch::toString(dtype)));
}

}  // namespace unroll

#include <fcntl.h>
#include <sys/mman.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "tensors/safetensors_header.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

using Json = nlohmann::ordered_json;

// What the header says of the tensors, which lie one behind the other. Throws Error for what no
// reader would take.
Json header_of(const SafeTensors& content) {
  Json header = Json::object();
  header["__metadata__"] = content.metadata;
  std::set<std::string_view> names{"__metadata__"};
  uint64_t offset = 0;
  for (const auto& [name, tensor] : content.tensors) {
    if (!names.insert(name).second) {
      throw Error(name == "__metadata__"
                      ? "no tensor may be called __metadata__, which is the metadata's name"
                      : formatted("two tensors are called {}", name));
    }
    if (!tensor.defined()) {
      throw Error(formatted("there is no tensor under the name {}", name));
    }
    const uint64_t end = offset + tensor.nbytes();
    header[name] = {{"dtype", dtype_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  return header;
}

// Whether a file that begins so is a pickle, or an archive, into which torch.save puts one.
bool is_pickled(uint64_t first_bytes) {
  constexpr uint64_t kArchive = 0x04034b50;  // PK\3\4
  constexpr uint64_t kPickle = 0x80;         // and the protocol, 2 to 5
  const auto protocol = (first_bytes >> 8U) & 0xFFU;
  return (first_bytes & 0xFFFFFFFFU) == kArchive ||
         ((first_bytes & 0xFFU) == kPickle && protocol >= 2 && protocol <= 5);
}

}  // namespace

void save_safetensors(const std::filesystem::path& path, const SafeTensors& content) {
  std::string text;
  try {
    text = header_of(content).dump();
  } catch (const Json::exception& error) {
    throw Error(formatted("{}: its header cannot be written: {}", path.string(), error.what()));
  } catch (const Error& error) {
    throw Error(formatted("{}: cannot be written: {}", path.string(), error.what()));
  }
  // Spaces behind the header put the tensors on a multiple of eight bytes.
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t size = text.size();
  if (size > kMostHeaderBytes) {
    throw Error(formatted("{}: its header would have {} bytes, a safetensors file's has at most {}",
                          path.string(), size, kMostHeaderBytes));
  }

  AtomicFile file(path);
  file.write(&size, sizeof size);
  file.write(text.data(), text.size());
  for (const auto& [name, tensor] : content.tensors) {
    const auto stored = tensor.detach().to(torch::kCPU).contiguous();
    file.write(stored.data_ptr(), stored.nbytes());
  }
  file.commit();
}

namespace {

// An open file and what its header says.
struct OpenFile {
  std::ifstream stream;
  SafeTensorsHeader header;
  uint64_t bytes = 0;
  uint64_t first = 0;  // byte of the tensors
};

OpenFile open_safetensors(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw Error(formatted("{}: is a directory, expected a safetensors file", name));
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    throw Error(formatted("{}: cannot be opened: {}", name, std::strerror(errno)));
  }
  const std::streamoff end = file.tellg();
  if (end < 0) {
    throw Error(formatted("{}: has no size, expected a safetensors file", name));
  }
  const auto file_bytes = static_cast<uint64_t>(end);
  file.seekg(0);
  uint64_t header_bytes = 0;
  const bool is_read = file_bytes >= sizeof header_bytes &&
                       file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes);
  if (is_read && header_bytes > file_bytes && is_pickled(header_bytes)) {
    throw Error(formatted(
        "{}: is a pickled file, which can run any code and is never read; write it from Python by "
        "safetensors.torch.save_file(net.state_dict(), 'model.safetensors')",
        name));
  }
  if (!is_read || header_bytes > std::min(kMostHeaderBytes, file_bytes - sizeof header_bytes)) {
    throw Error(formatted("{}: is not a whole safetensors file: {} bytes do not hold its header",
                          name, file_bytes));
  }
  std::string text(header_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  const uint64_t first = sizeof header_bytes + header_bytes;
  auto header = parse_header(name, text, file_bytes - first);
  return {std::move(file), std::move(header), file_bytes, first};
}

torch::Tensor read_tensor(const SafeTensorsHeader::Entry& entry, std::istream& file) {
  auto tensor = torch::empty(entry.shape, torch::TensorOptions().dtype(entry.dtype));
  file.read(static_cast<char*>(tensor.data_ptr()),
            static_cast<std::streamsize>(entry.end - entry.begin));
  return tensor;
}

void check_read(const std::istream& file, const std::filesystem::path& path) {
  if (!file) {
    throw Error(formatted("{}: cannot be read: {}", path.string(), std::strerror(errno)));
  }
}

// A file's bytes as memory, for as long as this exists.
class Mapping {
 public:
  Mapping(const std::filesystem::path& path, uint64_t bytes) : bytes_(bytes) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    memory_ =
        file < 0 ? MAP_FAILED : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    const int problem = errno;
    if (file >= 0) {
      close(file);
    }
    if (memory_ == MAP_FAILED) {
      throw Error(formatted("{}: cannot be mapped: {}", path.string(), std::strerror(problem)));
    }
  }
  ~Mapping() { munmap(memory_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  char* at(uint64_t offset) const { return static_cast<char*>(memory_) + offset; }

 private:
  void* memory_;
  uint64_t bytes_;
};

}  // namespace

SafeTensors load_safetensors(const std::filesystem::path& path) {
  auto file = open_safetensors(path);
  SafeTensors content{.tensors = {}, .metadata = std::move(file.header.metadata)};
  for (const auto& entry : file.header.entries) {
    content.tensors.push_back({entry.name, read_tensor(entry, file.stream)});
  }
  check_read(file.stream, path);
  return content;
}

SafeTensors map_safetensors(const std::filesystem::path& path) {
  auto file = open_safetensors(path);
  const auto mapping = std::make_shared<const Mapping>(path, file.bytes);
  SafeTensors content{.tensors = {}, .metadata = std::move(file.header.metadata)};
  for (const auto& entry : file.header.entries) {
    const uint64_t begin = file.first + entry.begin;
    torch::Tensor tensor;
    if (entry.begin == entry.end || begin % c10::elementSize(entry.dtype) != 0) {
      file.stream.seekg(static_cast<std::streamoff>(begin));
      tensor = read_tensor(entry, file.stream);
    } else {
      tensor = torch::from_blob(
          mapping->at(begin), entry.shape, [mapping](void*) {}, entry.dtype);
    }
    content.tensors.push_back({entry.name, std::move(tensor)});
  }
  check_read(file.stream, path);
  return content;
}

}  // namespace unroll

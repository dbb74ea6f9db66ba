#include <fcntl.h>
#include <sys/mman.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
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

// A file that is open for reading.
class File {
 public:
  explicit File(const std::filesystem::path& path) : name_(path.string()) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
      throw Error(formatted("{}: is a directory, expected a safetensors file", name_));
    }
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) {
      throw Error(formatted("{}: cannot be opened: {}", name_, std::strerror(errno)));
    }
    const off_t end = lseek(descriptor_, 0, SEEK_END);
    if (end < 0) {
      close(descriptor_);
      throw Error(formatted("{}: has no size, expected a safetensors file", name_));
    }
    bytes_ = static_cast<uint64_t>(end);
  }
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& name() const { return name_; }
  uint64_t bytes() const { return bytes_; }

  void read(uint64_t at, void* to, uint64_t bytes) const {
    auto* next = static_cast<char*>(to);
    while (bytes > 0) {
      const auto size = pread(descriptor_, next, bytes, static_cast<off_t>(at));
      if (size <= 0) {
        throw Error(formatted("{}: cannot be read: {}", name_,
                              size < 0 ? std::strerror(errno) : "it has become shorter"));
      }
      next += size;
      at += static_cast<uint64_t>(size);
      bytes -= static_cast<uint64_t>(size);
    }
  }

  // All its bytes as memory, for as long as the pointer exists. What is written there takes memory
  // of its own; none is set aside for it, as the file may be larger than all there is.
  std::shared_ptr<char> map() const {
    void* memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor_, 0);
    if (memory == MAP_FAILED) {
      throw Error(formatted("{}: cannot be mapped: {}", name_, std::strerror(errno)));
    }
    return {static_cast<char*>(memory), [bytes = bytes_](char* all) { munmap(all, bytes); }};
  }

 private:
  std::string name_;
  int descriptor_ = -1;
  uint64_t bytes_ = 0;
};

// What a file's header says, and the byte where the tensors begin.
std::pair<SafeTensorsHeader, uint64_t> read_header(const File& file) {
  uint64_t header_bytes = 0;
  const bool is_read = file.bytes() >= sizeof header_bytes;
  if (is_read) {
    file.read(0, &header_bytes, sizeof header_bytes);
  }
  if (is_read && header_bytes > file.bytes() && is_pickled(header_bytes)) {
    throw Error(formatted(
        "{}: is a pickled file, which can run any code and is never read; write it from Python by "
        "safetensors.torch.save_file(net.state_dict(), 'model.safetensors')",
        file.name()));
  }
  if (!is_read || header_bytes > std::min(kMostHeaderBytes, file.bytes() - sizeof header_bytes)) {
    throw Error(formatted("{}: is not a whole safetensors file: {} bytes do not hold its header",
                          file.name(), file.bytes()));
  }
  std::string text(header_bytes, '\0');
  file.read(sizeof header_bytes, text.data(), text.size());
  const uint64_t first = sizeof header_bytes + header_bytes;
  return {parse_header(file.name(), text, file.bytes() - first), first};
}

torch::Tensor read_tensor(const File& file, const SafeTensorsHeader::Entry& entry, uint64_t at) {
  auto tensor = torch::empty(entry.shape, torch::TensorOptions().dtype(entry.dtype));
  file.read(at, tensor.data_ptr(), entry.end - entry.begin);
  return tensor;
}

}  // namespace

SafeTensors load_safetensors(const std::filesystem::path& path) {
  const File file(path);
  auto [header, first] = read_header(file);
  SafeTensors content{.tensors = {}, .metadata = std::move(header.metadata)};
  for (const auto& entry : header.entries) {
    content.tensors.push_back({entry.name, read_tensor(file, entry, first + entry.begin)});
  }
  return content;
}

SafeTensors map_safetensors(const std::filesystem::path& path) {
  const File file(path);
  auto [header, first] = read_header(file);
  const auto memory = file.map();
  SafeTensors content{.tensors = {}, .metadata = std::move(header.metadata)};
  for (const auto& entry : header.entries) {
    const uint64_t at = first + entry.begin;
    const bool lies_well = at % c10::elementSize(entry.dtype) == 0;
    content.tensors.push_back(
        {entry.name, entry.begin < entry.end && lies_well
                         ? torch::from_blob(
                               memory.get() + at, entry.shape, [memory](void*) {}, entry.dtype)
                         : read_tensor(file, entry, at)});
  }
  return content;
}

}  // namespace unroll

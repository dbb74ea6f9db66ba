#include "cuda_part/kernel_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "text/fingerprint.h"

namespace unroll {
namespace {

// A file: these lines, then the code.
//   unroll kernel 1
//   the checksum of all below
//   the kernel's name
constexpr std::string_view kKernelFormat = "unroll kernel 1\n";

// Closes itself; negative if it could not be opened.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) {
      close(descriptor_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  operator int() const { return descriptor_; }

 private:
  int descriptor_;
};

// By its descriptor, so that it is the same folder that is looked at and read. Negative if there is
// none; throws Error if others could have written what is in it.
int open_trusted(const std::filesystem::path& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat status {};
  if (folder >= 0 && (fstat(folder, &status) != 0 || status.st_uid != geteuid() ||
                      (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
    close(folder);
    throw Error(formatted("{}: is not a folder that you alone can write", path.string()));
  }
  return folder;
}

std::string read_all(int descriptor, const std::filesystem::path& path) {
  std::string bytes;
  char block[1 << 16];
  for (;;) {
    const auto count = read(descriptor, block, sizeof block);
    if (count == 0) {
      return bytes;
    }
    if (count > 0) {
      bytes.append(block, static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      throw Error(formatted("{}: cannot be read: {}", path.string(), std::strerror(errno)));
    }
  }
}

// Takes the text before the next line's end; nothing without one.
std::optional<std::string_view> take_line(std::string_view& text) {
  const auto end = text.find('\n');
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const auto line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

std::optional<CompiledKernel> parsed(std::string_view bytes) {
  if (!bytes.starts_with(kKernelFormat)) {
    return std::nullopt;
  }
  bytes.remove_prefix(kKernelFormat.size());
  const auto checksum = take_line(bytes);
  if (!checksum || fingerprint_of(bytes).hash != *checksum) {
    return std::nullopt;
  }
  const auto name = take_line(bytes);
  if (!name) {
    return std::nullopt;
  }
  return CompiledKernel{.name = std::string(*name), .code = std::string(bytes)};
}

}  // namespace

std::optional<CompiledKernel> KernelCache::find(const std::string& key) const {
  if (folder_.empty()) {
    return std::nullopt;
  }
  const Descriptor folder(open_trusted(folder_));
  if (folder < 0) {
    return std::nullopt;
  }
  const Descriptor file(
      openat(folder, key.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  // A file of others may have come here before the folder was closed to them.
  if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_uid != geteuid()) {
    return std::nullopt;
  }
  auto kernel = parsed(read_all(file, folder_ / key));
  if (!kernel) {
    throw Error(formatted("{}: is damaged", (folder_ / key).string()));
  }
  return kernel;
}

void KernelCache::keep(const std::string& key, const CompiledKernel& kernel) const {
  if (folder_.empty()) {
    return;
  }
  std::error_code error;
  std::filesystem::create_directories(folder_.parent_path(), error);
  if (mkdir(folder_.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    throw Error(formatted("{}: cannot be made: {}", folder_.string(), std::strerror(errno)));
  }
  const Descriptor folder(open_trusted(folder_));
  if (folder < 0) {
    throw Error(formatted("{}: cannot be opened: {}", folder_.string(), std::strerror(errno)));
  }
  const auto body = formatted("{}\n{}", kernel.name, kernel.code);
  const auto head = formatted("{}{}\n", kKernelFormat, fingerprint_of(body).hash);
  AtomicFile file(folder_ / key);
  file.write(head.data(), head.size());
  file.write(body.data(), body.size());
  file.commit();
}

}  // namespace unroll

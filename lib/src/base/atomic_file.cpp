#include "base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/formatted.h"
#include "base/write_all.h"
#include "unroll/error.h"

namespace unroll {
std::filesystem::path link_target(std::filesystem::path path) {
  constexpr int kMostLinks = 40;  // as the system has it
  std::error_code error;
  for (int n = 0; n < kMostLinks && std::filesystem::is_symlink(path, error); ++n) {
    const auto next = std::filesystem::read_symlink(path, error);
    if (error) {
      break;
    }
    path = next.is_absolute() ? next : path.parent_path() / next;
  }
  return path;
}

AtomicFile::AtomicFile(const std::filesystem::path& target)
    : target_(link_target(target).string()), name_(formatted("{}.{}.tmp", target_, getpid())) {
  std::error_code error;
  const auto status = std::filesystem::status(target_, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw Error(formatted("{}: is {}, expected a regular file to write", target_,
                          std::filesystem::is_directory(status) ? "a directory" : "no file"));
  }
  descriptor_ = open(name_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    fail("cannot be written");
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
    unlink(name_.c_str());
  }
}

void AtomicFile::write(const void* data, std::size_t size) {
  if (!write_all(descriptor_, {static_cast<const char*>(data), size})) {
    fail("cannot be written");
  }
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) {
    fail("cannot be synced");
  }
  if (std::rename(name_.c_str(), target_.c_str()) != 0) {
    fail("cannot be replaced");
  }
  close(descriptor_);
  descriptor_ = -1;
  // The name is durable only once its folder is.
  const auto folder = std::filesystem::absolute(target_).parent_path();
  if (const int entry = open(folder.c_str(), O_RDONLY | O_CLOEXEC); entry >= 0) {
    fsync(entry);
    close(entry);
  }
}

void AtomicFile::fail(const char* what) const {
  throw Error(formatted("{}: {}: {}", target_, what, std::strerror(errno)));
}

void check_writable(const std::filesystem::path& path) { const AtomicFile file(path); }

}  // namespace unroll

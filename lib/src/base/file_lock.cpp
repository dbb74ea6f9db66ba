#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Whether the name still leads to the open file: its owner may have removed it meanwhile.
bool is_current(const std::string& name, int descriptor) {
  struct stat open_file {};
  struct stat named {};
  return fstat(descriptor, &open_file) == 0 && stat(name.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

std::string content(int descriptor) {
  std::array<char, 32> text{};
  const auto size = pread(descriptor, text.data(), text.size(), 0);
  return {text.data(), static_cast<std::size_t>(size > 0 ? size : 0)};
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path)
    : name_(
          (path.parent_path() / formatted(".{}.unroll-lock", path.filename().string())).string()) {
  while (true) {
    descriptor_ = open(name_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) {
      throw Error(formatted("{}: cannot be written: {}", path.string(), std::strerror(errno)));
    }
    // Not every file system has locks; without them there is no telling.
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      const auto owner = content(descriptor_);
      close(descriptor_);
      throw Error(
          formatted("{}: another training writes there (process {})", path.string(), owner));
    }
    if (is_current(name_, descriptor_)) {
      break;
    }
    close(descriptor_);
  }
  const auto process = formatted("{}", getpid());
  if (ftruncate(descriptor_, 0) != 0 ||
      pwrite(descriptor_, process.data(), process.size(), 0) < 0) {
    // The number only helps the reader of a message: the lock holds without it, on a full disk too.
    static_cast<void>(ftruncate(descriptor_, 0));
  }
}

FileLock::~FileLock() {
  unlink(name_.c_str());
  close(descriptor_);
}

}  // namespace unroll

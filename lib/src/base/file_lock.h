#pragma once

#include <filesystem>
#include <string>

namespace unroll {

/// While it lives no other process, and no other lock of this one, has a lock for the same file.
/// It is a file `.NAME.unroll-lock` beside it, which names the process and goes when the lock does;
/// the system frees the lock of a process that was killed, whatever file it left.
class FileLock {
 public:
  /// Throws Error, naming the path and the process, when another has the lock, or when there can be
  /// no file.
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  std::string name_;
  int descriptor_ = -1;
};

}  // namespace unroll

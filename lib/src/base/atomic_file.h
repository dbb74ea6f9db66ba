#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace unroll {

/// Where a symbolic link leads, whether or not a file is there; any other path as it is.
std::filesystem::path link_target(std::filesystem::path path);

/// A file written beside its target, which it replaces at once and as a whole by commit(); without
/// that it leaves nothing behind. A symbolic link stays and leads to the new content.
class AtomicFile {
 public:
  /// Throws Error, naming the target, when it is no regular file or cannot be written there.
  explicit AtomicFile(const std::filesystem::path& target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws Error, naming the target, when the disk does not take it.
  void write(const void* data, std::size_t size);

  /// Makes the content the target's, durably.
  void commit();

 private:
  [[noreturn]] void fail(const char* what) const;

  std::string target_;
  std::string name_;
  int descriptor_ = -1;
};

/// Throws Error, naming the path, if no file can be written there. Leaves nothing behind.
void check_writable(const std::filesystem::path& path);

}  // namespace unroll

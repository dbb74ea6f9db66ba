#pragma once

#include <fstream>
#include <string>

namespace unroll::app {

/// JSON lines into a file, or to stdout for the path `-`.
class TokenLines {
 public:
  /// Throws Error, naming the path, when it cannot be written.
  explicit TokenLines(const std::string& path);

  void write(const std::string& line);

  /// Throws as the constructor does when not all could be written.
  void finish();

 private:
  void check() const;

  std::string path_;
  std::ofstream file_;
};

}  // namespace unroll::app

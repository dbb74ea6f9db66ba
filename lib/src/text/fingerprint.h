#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "unroll/text.h"

namespace unroll {

/// Takes the fingerprint of bytes as they stream by.
class Fingerprinter {
 public:
  Fingerprinter();
  ~Fingerprinter();
  Fingerprinter(Fingerprinter&&) noexcept;
  Fingerprinter& operator=(Fingerprinter&&) noexcept;

  /// Takes the next piece, cut anywhere.
  void feed(std::string_view bytes);

  /// Ends a file; what is fed next is another's.
  void end_file();

  /// Of all that was fed.
  TextFingerprint fingerprint() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Of bytes in memory.
TextFingerprint fingerprint_of(std::string_view bytes);

/// Of files, read one after the other. Throws as read_blocks does.
TextFingerprint fingerprint_of_files(const std::vector<std::filesystem::path>& paths,
                                     const ReadCallback& on_read = {});

}  // namespace unroll

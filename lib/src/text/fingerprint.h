#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/text.h"

namespace unroll {

/// What tells a text from others: its bytes as they lie in the files, all of them in order, and
/// where a file ends and the next begins.
struct TextFingerprint {
  int64_t bytes = 0;  ///< their number
  /// XXH3 of 128 bits in 32 hexadecimal digits (https://xxhash.com); between two files it takes the
  /// number of bytes so far, in eight bytes, the lowest first.
  std::string hash;

  bool operator==(const TextFingerprint&) const = default;
};

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

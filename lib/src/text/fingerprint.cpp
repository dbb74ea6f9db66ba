#include "text/fingerprint.h"

#include "base/formatted.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>

namespace unroll {

struct Fingerprinter::State {
  XXH3_state_t hash;
  int64_t bytes = 0;
  bool file_ended = false;
};

Fingerprinter::Fingerprinter() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(&state_->hash);
}

Fingerprinter::~Fingerprinter() = default;
Fingerprinter::Fingerprinter(Fingerprinter&&) noexcept = default;
Fingerprinter& Fingerprinter::operator=(Fingerprinter&&) noexcept = default;

void Fingerprinter::feed(std::string_view bytes) {
  if (state_->file_ended) {
    std::array<unsigned char, 8> bytes_before{};
    for (std::size_t i = 0; i < bytes_before.size(); ++i) {
      bytes_before[i] = static_cast<unsigned char>(state_->bytes >> (8 * i));
    }
    XXH3_128bits_update(&state_->hash, bytes_before.data(), bytes_before.size());
    state_->file_ended = false;
  }
  XXH3_128bits_update(&state_->hash, bytes.data(), bytes.size());
  state_->bytes += static_cast<int64_t>(bytes.size());
}

void Fingerprinter::end_file() { state_->file_ended = true; }

TextFingerprint Fingerprinter::fingerprint() const {
  const auto hash = XXH3_128bits_digest(&state_->hash);
  return {.bytes = state_->bytes, .hash = formatted("{:016x}{:016x}", hash.high64, hash.low64)};
}

TextFingerprint fingerprint_of(std::string_view bytes) {
  Fingerprinter fingerprinter;
  fingerprinter.feed(bytes);
  return fingerprinter.fingerprint();
}

TextFingerprint fingerprint_of_files(const std::vector<std::filesystem::path>& paths,
                                     const ReadCallback& on_read) {
  Fingerprinter fingerprinter;
  read_blocks(
      paths, NulBytes::kAllow,
      [&](std::size_t, std::string_view block) { fingerprinter.feed(block); }, on_read,
      [&](std::size_t) { fingerprinter.end_file(); });
  return fingerprinter.fingerprint();
}

}  // namespace unroll

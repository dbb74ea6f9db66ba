#include "text/nfc.h"

#include <utf8proc.h>

#include <array>

namespace unroll {
namespace {

constexpr int32_t kCodePoints = 0x110000;
constexpr int kMostMarks = 30;
constexpr auto kFormC = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

// A code point, or a run of at most 1 + kMostMarks, fully decomposed; none becomes more than four.
using Decomposition = std::array<utf8proc_int32_t, std::size_t{4} * (kMostMarks + 2)>;

utf8proc_ssize_t decompose(int32_t code_point, Decomposition& into) {
  int ignored_boundary = 0;
  return utf8proc_decompose_char(code_point, into.data(),
                                 static_cast<utf8proc_ssize_t>(into.size()), kFormC,
                                 &ignored_boundary);
}

}  // namespace

// Made once, in some 20 ms; a text in ASCII never asks for it.
std::vector<uint8_t> Nfc::make_classes() {
  std::vector<uint8_t> classes(kCodePoints, kBegins);
  Decomposition parts;
  std::vector<int32_t> decomposable;
  for (int32_t c = 0x80; c < kCodePoints; ++c) {
    if (utf8proc_get_property(c)->combining_class != 0) {
      classes[c] = kContinues;
    }
    const auto size = decompose(c, parts);
    if (size > 1 || (size == 1 && parts[0] != c)) {
      decomposable.push_back(c);
    }
    // What stands behind the first in a decomposition is what composes with something before it.
    for (utf8proc_ssize_t i = 1; i < size; ++i) {
      classes[parts[i]] = kContinues;
    }
  }
  for (const auto c : decomposable) {
    const auto size = decompose(c, parts);
    if (classes[parts[0]] == kContinues) {
      classes[c] = kContinues;
    } else if (utf8proc_normalize_utf32(parts.data(), size, kFormC) != 1 || parts[0] != c) {
      classes[c] = kChanges;
    }
  }
  return classes;
}

const uint8_t* Nfc::classes_of_code_points() {
  static const auto classes = make_classes();
  return classes.data();
}

void Nfc::append_staying(std::string_view utf8, std::size_t last) {
  end_run();
  run_ = text_.size() + last;
  text_.append(utf8);
}

void Nfc::append(int32_t code_point, std::string_view utf8) {
  const auto kind = stays(code_point) ? kBegins : static_cast<Class>(classes_[code_point]);
  if (kind != kContinues || marks_ == kMostMarks) {
    end_run();
    run_ = text_.size();
    may_change_ = kind != kBegins;
  } else {
    ++marks_;
    may_change_ = true;
  }
  text_.append(utf8);
}

void Nfc::finish() {
  end_run();
  run_ = text_.size();
}

void Nfc::drop_ready() {
  text_.erase(0, run_);
  run_ = 0;
}

void Nfc::end_run() {
  if (may_change_) {
    Decomposition parts;
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text_.data()) + run_;
    auto size =
        utf8proc_decompose(bytes, static_cast<utf8proc_ssize_t>(text_.size() - run_), parts.data(),
                           static_cast<utf8proc_ssize_t>(parts.size()), kFormC);
    size = utf8proc_normalize_utf32(parts.data(), size, kFormC);
    text_.resize(run_);
    for (utf8proc_ssize_t i = 0; i < size; ++i) {
      std::array<utf8proc_uint8_t, 4> encoded;
      const auto length = utf8proc_encode_char(parts[i], encoded.data());
      text_.append(reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(length));
    }
    may_change_ = false;
  }
  marks_ = 0;
}

}  // namespace unroll

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace unroll {

/// Brings a text to Unicode's Normalization Form C as it streams by, in bounded memory.
///
/// Code points are collected from one that begins anew, whatever comes before it, to the next; only
/// what stands between two such can change (UAX #15, section 9.1). Of more than 30 marks in a row
/// each 30 are normalised by themselves, as the Stream-Safe Text Format cuts them (section 13).
class Nfc {
 public:
  /// Whether the code point begins anew and is in form C by itself.
  bool stays(int32_t code_point) {
    if (code_point < 0x80) {
      return true;
    }
    if (classes_ == nullptr) {
      classes_ = classes_of_code_points();
    }
    return classes_[code_point] == kBegins;
  }

  /// Takes text in UTF-8 of which every code point stays; the last one begins at `last`.
  void append_staying(std::string_view utf8, std::size_t last);

  /// Takes any one code point and its UTF-8.
  void append(int32_t code_point, std::string_view utf8);

  /// Ends the text: what follows composes with nothing before it.
  void finish();

  /// The text that nothing to come can change.
  std::string_view ready() const { return std::string_view(text_).substr(0, run_); }

  /// Drops what was ready.
  void drop_ready();

 private:
  // How a code point stands to those before it.
  enum Class : uint8_t {
    kBegins,    // anew, and is in form C by itself
    kChanges,   // begins anew, and is another in form C
    kContinues  // may be reordered or composed with what is before it
  };

  static std::vector<uint8_t> make_classes();
  static const uint8_t* classes_of_code_points();
  void end_run();

  std::string text_;
  std::size_t run_ = 0;      // where the run that may still change begins
  int marks_ = 0;            // of the run
  bool may_change_ = false;  // the run is perhaps not in form C
  const uint8_t* classes_ = nullptr;
};

}  // namespace unroll

#include "study/text_survey.h"

#include <algorithm>

#include "text/utf8.h"

namespace unroll {
namespace {

// Looks at one file after the other, block by block.
class Surveyor {
 public:
  explicit Surveyor(const std::vector<std::filesystem::path>& paths) : paths_(paths) {}

  void feed(std::size_t file, std::string_view block) {
    file_ = file;
    survey_.bytes += static_cast<int64_t>(block.size());
    held_ += block;
    std::string_view rest = held_;
    while (!rest.empty()) {
      const auto unit = first_unit(rest);
      if (unit.state == Utf8Unit::State::kIncomplete) {
        break;
      }
      take(unit, static_cast<unsigned char>(rest.front()));
      rest.remove_prefix(unit.size);
    }
    held_.erase(0, held_.size() - rest.size());
  }

  void end_file() {
    if (!held_.empty()) {
      take({Utf8Unit::State::kIllFormed, held_.size(), kReplacement},
           static_cast<unsigned char>(held_.front()));
      held_.clear();
    }
    if (in_line_ > 0) {
      end_line();
    }
    after_cr_ = false;
    offset_ = 0;
    lines_before_ = survey_.lines;
  }

  TextSurvey survey() const { return survey_; }

 private:
  void take(const Utf8Unit& unit, unsigned char lead) {
    const bool follows_cr = after_cr_;
    after_cr_ = unit.code_point == '\r';
    if (unit.state != Utf8Unit::State::kWhole || unit.code_point == 0) {
      constexpr std::size_t kPlaces = 5;
      if (survey_.places.size() < kPlaces) {
        survey_.places.push_back({.file = text_name(paths_[file_]),
                                  .line = survey_.lines - lines_before_ + 1,
                                  .offset = offset_,
                                  .byte = lead});
      }
      ++(unit.code_point == 0 ? survey_.nuls : survey_.ill_formed);
    }
    offset_ += static_cast<int64_t>(unit.size);
    ++survey_.characters;
    if (unit.code_point == '\n' && follows_cr) {
      return;
    }
    if (unit.code_point == '\n' || unit.code_point == '\r') {
      end_line();
    } else {
      ++in_line_;
    }
  }

  void end_line() {
    ++survey_.lines;
    survey_.longest_line = std::max(survey_.longest_line, in_line_);
    in_line_ = 0;
  }

  const std::vector<std::filesystem::path>& paths_;
  std::size_t file_ = 0;
  TextSurvey survey_;
  std::string held_;          // the start of a code point at a block's end
  int64_t offset_ = 0;        // in the file
  int64_t lines_before_ = 0;  // of earlier files
  int64_t in_line_ = 0;       // code points of the running line
  bool after_cr_ = false;
};

}  // namespace

TextSurvey survey_text(const std::vector<std::filesystem::path>& paths,
                       const ReadCallback& on_read) {
  Surveyor surveyor(paths);
  read_blocks(
      paths, NulBytes::kAllow,
      [&](std::size_t file, std::string_view block) { surveyor.feed(file, block); }, on_read,
      [&](std::size_t) { surveyor.end_file(); });
  return surveyor.survey();
}

}  // namespace unroll

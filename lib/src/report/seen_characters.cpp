#include "report/seen_characters.h"

#include <utf8proc.h>

#include "text/utf8.h"

namespace unroll {
namespace {

// The first and the last code point of a text; nothing where it ends within one.
std::optional<std::pair<int32_t, int32_t>> ends_of(std::string_view text) {
  std::optional<std::pair<int32_t, int32_t>> ends;
  while (!text.empty()) {
    const auto unit = first_unit(text);
    if (unit.state == Utf8Unit::State::kIncomplete) {
      return std::nullopt;
    }
    ends = {ends ? ends->first : unit.code_point, unit.code_point};
    text.remove_prefix(unit.size);
  }
  return ends;
}

}  // namespace

void SeenCharacters::Character::append(std::string_view more, std::optional<double> value) {
  sum = text.empty() ? value : sum && value ? std::optional(*sum + *value) : sum;
  last = value;
  text += more;
}

void SeenCharacters::add(std::string_view token, std::optional<double> value) {
  begun_.append(token, value);
  settle();
}

// Takes what was begun, once it is whole, as more of the same character or as the next one.
void SeenCharacters::settle() {
  const auto ends = ends_of(begun_.text);
  if (!ends) {
    return;
  }
  const auto begun = std::exchange(begun_, {});
  if (character_.text.empty() ||
      utf8proc_grapheme_break_stateful(last_, ends->first, &break_state_)) {
    show();
    character_ = begun;
  } else {
    character_.append(begun.text, begun.sum);
    character_.last = begun.last;
  }
  last_ = ends->second;
}

void SeenCharacters::show() {
  if (!character_.text.empty()) {
    sink_(character_);
  }
  character_ = {};
  break_state_ = 0;
}

void SeenCharacters::finish() {
  if (!begun_.text.empty()) {
    const auto begun = std::exchange(begun_, {});
    character_.append(begun.text, begun.sum);
    character_.last = begun.last;
  }
  show();
}

}  // namespace unroll

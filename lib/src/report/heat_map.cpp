#include "report/heat_map.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <numbers>
#include <utility>

#include "base/formatted.h"
#include "report/visible_text.h"
#include "text/utf8.h"

namespace unroll {
namespace {

struct Level {
  double bits;     // of surprise, up to these
  int background;  // of the 256 colours
  std::string_view name;
};

// Light colours of the 6x6x6 cube: black on each has a contrast of more than 7 to 1.
constexpr std::array kLevels{
    Level{0.5, 87, "<0.5"}, Level{1, 158, "0.5-1"}, Level{2, 229, "1-2"},
    Level{4, 222, "2-4"},   Level{8, 215, "4-8"},   Level{0, 203, ">8"},
};

const Level& level_of(double nats) {
  const auto* last = std::prev(kLevels.end());
  return *std::find_if(kLevels.begin(), last,
                       [&](const Level& level) { return nats / std::numbers::ln2 < level.bits; });
}

std::string on_background(const Level& level, std::string_view text) {
  return formatted("\x1b[38;5;16;48;5;{}m{}\x1b[0m", level.background, text);
}

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

void HeatMap::Run::append(std::string_view more, std::optional<double> its_nats) {
  nats = text.empty() ? its_nats : nats && its_nats ? std::optional(*nats + *its_nats) : nats;
  text += more;
}

void HeatMap::add(std::string_view gap, std::string_view token, std::optional<double> nats) {
  if (!gap.empty()) {
    finish();
    sink_(gap);
  }
  begun_.append(token, nats);
  settle();
}

// Takes what was begun, once it is whole, as more of the same character or as the next one.
void HeatMap::settle() {
  const auto ends = ends_of(begun_.text);
  if (!ends) {
    return;
  }
  const auto begun = std::exchange(begun_, {});
  if (character_.text.empty() ||
      utf8proc_grapheme_break_stateful(last_, ends->first, &break_state_)) {
    show();
  }
  character_.append(begun.text, begun.nats);
  last_ = ends->second;
}

void HeatMap::show() {
  std::string_view text = character_.text;
  if (text.empty()) {
    return;
  }
  const bool ends_line = text.ends_with('\n');
  text.remove_suffix(ends_line ? 1 : 0);
  const auto shown = visible(text) + (ends_line ? "\xe2\x86\xb5" : "");
  sink_(character_.nats ? on_background(level_of(*character_.nats), shown) : shown);
  if (ends_line) {
    sink_("\n");
  }
  character_ = {};
  break_state_ = 0;
}

void HeatMap::finish() {
  character_.append(begun_.text, begun_.nats);
  begun_ = {};
  show();
}

std::string heat_map_legend() {
  std::string legend = "bits of surprise:";
  for (const auto& level : kLevels) {
    legend += ' ';
    legend += on_background(level, formatted(" {} ", level.name));
  }
  return legend;
}

}  // namespace unroll

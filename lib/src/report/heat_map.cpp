#include "report/heat_map.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <numbers>
#include <utility>

#include "base/formatted.h"
#include "report/visible_text.h"

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

}  // namespace

HeatMap::HeatMap(Sink sink)
    : sink_(std::move(sink)),
      characters_([this](const SeenCharacters::Character& character) { show(character); }) {}

void HeatMap::add(std::string_view gap, std::string_view token, std::optional<double> nats) {
  if (!gap.empty()) {
    finish();
    sink_(gap);
  }
  characters_.add(token, nats);
}

void HeatMap::show(const SeenCharacters::Character& character) const {
  std::string_view text = character.text;
  const bool ends_line = text.ends_with('\n');
  text.remove_suffix(ends_line ? 1 : 0);
  const auto shown = visible(text) + (ends_line ? "\xe2\x86\xb5" : "");
  sink_(character.sum ? on_background(level_of(*character.sum), shown) : shown);
  if (ends_line) {
    sink_("\n");
  }
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

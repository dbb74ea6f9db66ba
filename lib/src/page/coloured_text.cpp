#include "page/coloured_text.h"

#include <algorithm>
#include <cmath>

#include "base/formatted.h"
#include "page/html.h"

namespace unroll {
namespace {

// The style's class of a value.
std::string colour_of(double value, Scale scale) {
  if (std::isnan(value)) {
    return "none";
  }
  if (scale == Scale::kSurprise) {
    return formatted("q{}", static_cast<int>(std::clamp(value, 0.0, 8.0)));
  }
  const int level = static_cast<int>(std::lround(std::clamp(4 * value, -4.0, 4.0)));
  return level < 0 ? formatted("n{}", -level) : formatted("q{}", 2 * level);
}

}  // namespace

std::string colour_key(Scale scale) {
  std::string spans;
  const auto add = [&](double value, const std::string& text) {
    spans += element("span", text, {{"class", colour_of(value, scale)}});
  };
  if (scale == Scale::kSurprise) {
    for (int bits = 0; bits <= 8; ++bits) {
      add(bits, formatted("{}{}", bits, bits == 8 ? "+" : ""));
    }
    return element("p", "bits of surprise: " + spans, {{"class", "key"}});
  }
  for (int level = -4; level <= 4; ++level) {
    add(level / 4.0, formatted("{:g}", level / 4.0));
  }
  return element("p", "activation: " + spans, {{"class", "key"}});
}

std::string coloured_text(const std::string& title, const std::vector<ColouredToken>& tokens,
                          Scale scale) {
  if (tokens.empty()) {
    return {};
  }
  std::string spans;
  for (const auto& [text, value, shown] : tokens) {
    spans +=
        element("span", escaped(text), {{"class", colour_of(value, scale)}, {"data-value", shown}});
  }
  return element("figure", element("figcaption", escaped(title)) +
                               element("div", spans,
                                       {{"class", "reading text"},
                                        {"tabindex", "0"},
                                        {"role", "application"},
                                        {"aria-label", title + ". Arrow keys read the values."}}) +
                               "<output aria-live=\"polite\">&nbsp;</output>") +
         "\n";
}

}  // namespace unroll

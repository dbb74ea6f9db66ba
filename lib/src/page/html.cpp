#include "page/html.h"

#include <algorithm>
#include <cmath>

#include "base/formatted.h"
#include "report/shown_number.h"
#include "report/visible_text.h"

namespace unroll {

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : visible(text, "\n\t")) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

std::string element(std::string_view name, std::string_view content,
                    std::initializer_list<std::pair<std::string_view, std::string>> attributes) {
  auto html = formatted("<{}", name);
  for (const auto& [attribute, value] : attributes) {
    html += formatted(" {}=\"{}\"", attribute, escaped(value));
  }
  return html + formatted(">{}</{}>", content, name);
}

std::string number(double value, int digits) {
  const auto shown = shown_number(value, digits);
  return std::isfinite(value) ? element("data", shown, {{"value", formatted("{}", value)}}) : shown;
}

namespace {

// Wider than a phone, it scrolls by itself; to do so by keyboard it must take the focus.
std::string scrolled(std::string_view caption, std::string_view kind,
                     const std::vector<std::vector<std::string>>& rows) {
  auto html = element("caption", escaped(caption));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string cells;
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      if (r == 0) {
        cells += element("th", rows[r][c], {{"scope", "col"}});
      } else if (c == 0) {
        cells += element("th", rows[r][c], {{"scope", "row"}});
      } else {
        cells += element("td", rows[r][c]);
      }
    }
    html += element("tr", cells) + "\n";
  }
  return element("div", element("table", html, {{"class", std::string(kind)}}),
                 {{"class", "scroll"},
                  {"tabindex", "0"},
                  {"role", "region"},
                  {"aria-label", std::string(caption)}}) +
         "\n";
}

}  // namespace

std::string html_table(std::string_view caption,
                       const std::vector<std::vector<std::string>>& rows) {
  return scrolled(caption, "figures", rows);
}

std::string text_table(std::string_view caption, const std::array<std::string, 2>& header,
                       const std::vector<std::array<std::string, 2>>& rows) {
  std::vector<std::vector<std::string>> all{{escaped(header[0]), escaped(header[1])}};
  for (const auto& [name, text] : rows) {
    all.push_back({escaped(name), element("span", escaped(text), {{"class", "text"}})});
  }
  return rows.empty() ? "" : scrolled(caption, "texts", all);
}

std::string html_table(std::string_view caption, const Table& table) {
  auto rows = table.rows();
  for (auto& row : rows) {
    for (auto& cell : row) {
      cell = escaped(cell);
    }
  }
  return rows.empty() ? "" : html_table(caption, rows);
}

std::string paragraphs(std::string_view lines) {
  std::string html;
  for (std::size_t begin = 0; begin < lines.size();) {
    const auto end = std::min(lines.find('\n', begin), lines.size());
    html += element("p", escaped(lines.substr(begin, end - begin))) + "\n";
    begin = end + 1;
  }
  return html;
}

}  // namespace unroll

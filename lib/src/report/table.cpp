#include "report/table.h"

#include <utf8proc.h>

#include <algorithm>

namespace unroll {

int64_t display_width(std::string_view text) {
  int64_t width = 0;
  while (!text.empty()) {
    utf8proc_int32_t code_point = -1;
    const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &code_point);
    width += size > 0 ? utf8proc_charwidth(code_point) : 1;
    text.remove_prefix(static_cast<std::size_t>(std::max<utf8proc_ssize_t>(size, 1)));
  }
  return width;
}

std::string Table::text() const {
  std::vector<int64_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], display_width(row[column]));
    }
  }
  std::string text;
  for (const auto& row : rows_) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string padding(
          static_cast<std::size_t>(widths[column] - display_width(row[column])), ' ');
      if (column == 0) {
        text += row[column];
        text += row.size() > 1 ? padding : "";
      } else {
        text += "  " + padding + row[column];
      }
    }
    text += '\n';
  }
  return text;
}

}  // namespace unroll

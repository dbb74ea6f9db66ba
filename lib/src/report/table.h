#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace unroll {

/// How many columns of a terminal a text takes: a wide character two, an accent none.
int64_t display_width(std::string_view text);

/// Rows of cells, each column as wide as its widest cell. The first column is aligned on the left,
/// the others on the right.
class Table {
 public:
  /// A row may have fewer cells than others.
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

  /// A line for each row, with two spaces between columns.
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace unroll

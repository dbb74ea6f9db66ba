#pragma once

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report/table.h"

namespace unroll {

/// A text as HTML that shows it: nothing of it is taken for a tag or an attribute's end. Control
/// characters are shown as `visible` shows them, but for line ends and tabs.
std::string escaped(std::string_view text);

/// `<td class="wide">CONTENT</td>`. The content is HTML, attributes are text.
std::string element(
    std::string_view name, std::string_view content,
    std::initializer_list<std::pair<std::string_view, std::string>> attributes = {});

/// A number that is shown with these digits and can be read in full precision from the page:
/// `<data value="1.0625">1.06</data>`. What is not finite is shown as a dash.
std::string number(double value, int digits);

/// A table with a caption. The cells are HTML; those of the first row, and the first of each other
/// row, are headers.
std::string html_table(std::string_view caption, const std::vector<std::vector<std::string>>& rows);

/// Texts, each with what it belongs to: two columns, that of the texts, which are no HTML, in the
/// letters of a terminal; empty without texts.
std::string text_table(std::string_view caption, const std::array<std::string, 2>& header,
                       const std::vector<std::array<std::string, 2>>& rows);

/// The same as html_table for a table of text.
std::string html_table(std::string_view caption, const Table& table);

/// A paragraph for each line of a text.
std::string paragraphs(std::string_view lines);

}  // namespace unroll

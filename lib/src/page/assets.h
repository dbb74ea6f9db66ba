#pragma once

#include <string_view>

namespace unroll {

/// page/style.css and page/script.js, which every page holds.
std::string_view page_style();
std::string_view page_script();

}  // namespace unroll

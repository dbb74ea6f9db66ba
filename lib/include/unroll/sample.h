#pragma once

#include <string_view>

namespace unroll {

/// The bundled text (data/sample.txt): original English prose, so that training needs no file.
std::string_view sample_text();

}  // namespace unroll

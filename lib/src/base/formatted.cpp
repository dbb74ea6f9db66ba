// LibTorch's own copy of fmt may come first, which is not Debian's: no compiled fmt would fit both.
#define FMT_HEADER_ONLY
#include "base/formatted.h"

#include <fmt/format.h>

namespace unroll::detail {

std::string format(fmt::string_view text, fmt::format_args values) {
  return fmt::vformat(text, values);
}

}  // namespace unroll::detail

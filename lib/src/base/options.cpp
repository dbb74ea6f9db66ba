#include "unroll/options.h"

#include <string>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

void throw_unknown_name(std::string_view what, std::span<const std::string_view> names,
                        std::string_view got) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    list += i == 0 ? "" : i + 1 < names.size() ? ", " : " or ";
    list += names[i];
  }
  throw UsageError(formatted("{} must be {}, got '{}'", what, list, got));
}

}  // namespace unroll

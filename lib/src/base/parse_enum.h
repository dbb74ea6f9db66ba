#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

/// The one of `all` whose to_string is `name`. Throws UsageError that lists the names:
/// `cell must be rnn, gru, lstm or mlp, got 'x'`.
template <typename Enum, std::size_t N>
Enum parse_enum(std::string_view what, std::string_view name, const std::array<Enum, N>& all) {
  std::string names;
  for (std::size_t i = 0; i < N; ++i) {
    if (name == to_string(all[i])) {
      return all[i];
    }
    names += i == 0 ? "" : i + 1 < N ? ", " : " or ";
    names += to_string(all[i]);
  }
  throw UsageError(formatted("{} must be {}, got '{}'", what, names, name));
}

}  // namespace unroll

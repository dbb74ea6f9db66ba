#pragma once

#include <exception>
#include <string_view>

#include "base/formatted.h"
#include "cli/message.h"
#include "cli/progress.h"

namespace unroll::app {

/// Does what a training is not worth ending for. A failure becomes a line on stderr that ends in
/// `consequence`. Returns whether it went well.
template <typename Work>
bool attempt(Progress& progress, std::string_view consequence, const Work& work) {
  try {
    work();
    return true;
  } catch (const std::exception& error) {
    progress.clear();
    print_error(formatted("{}; {}", error.what(), consequence));
    return false;
  }
}

}  // namespace unroll::app

#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <string>

namespace unroll {

/// What an exception says, in one line, without the stack that LibTorch adds to its own.
inline std::string message_of(const std::exception& error) {
  const auto* of_libtorch = dynamic_cast<const c10::Error*>(&error);
  const std::string text =
      of_libtorch != nullptr ? of_libtorch->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

}  // namespace unroll

#pragma once

#include <stdexcept>

#pragma GCC visibility push(default)
namespace unroll {

/// Something failed: a file, a device, memory, a value in the data.
/// The message is one line that names the offending value and what was expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The request itself is wrong: an unknown name, a value out of range.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Bytes that should be characters are not valid UTF-8.
class InvalidUtf8Error : public Error {
 public:
  using Error::Error;
};

}  // namespace unroll
#pragma GCC visibility pop

#pragma once

#include <dlfcn.h>

#include <string>
#include <utility>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

/// Finds functions of a loaded library, all of whose names begin alike.
class FunctionFinder {
 public:
  /// `whose` is the library in messages: "NCCL".
  FunctionFinder(void* library, std::string whose, std::string prefix)
      : library_(library), whose_(std::move(whose)), prefix_(std::move(prefix)) {}
  /// Loads the library, for as long as the program runs. Throws Error if it cannot be loaded.
  FunctionFinder(const char* file, std::string whose, std::string prefix)
      : FunctionFinder(dlopen(file, RTLD_LAZY | RTLD_LOCAL), std::move(whose), std::move(prefix)) {
    if (library_ == nullptr) {
      throw Error(formatted("{} cannot be loaded: {}", whose_, dlerror()));
    }
  }

  /// Sets `function` to that of this name, without its beginning. Throws Error if there is none.
  template <typename Function>
  void operator()(const char* name, Function& function) const {
    const auto whole = prefix_ + name;
    function = reinterpret_cast<Function>(dlsym(library_, whole.c_str()));
    if (function == nullptr) {
      throw Error(formatted("{} has no {}", whose_, whole));
    }
  }

 private:
  void* library_;
  std::string whose_;
  std::string prefix_;
};

}  // namespace unroll

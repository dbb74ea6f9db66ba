#include "cli/token_lines.h"

#include <cstdio>

#include "base/formatted.h"
#include "cli/message.h"
#include "unroll/error.h"

namespace unroll::app {

TokenLines::TokenLines(const std::string& path) : path_(path) {
  if (path_ == "-") {
    return;
  }
  file_.open(path_, std::ios::binary);
  check();
}

void TokenLines::write(const std::string& line) {
  if (path_ == "-") {
    print_formatted(stdout, "{}\n", line);
  } else {
    file_ << line << '\n';
  }
}

void TokenLines::finish() {
  file_.flush();
  check();
}

void TokenLines::check() const {
  if (!file_) {
    throw Error(formatted("{}: cannot be written", path_));
  }
}

}  // namespace unroll::app

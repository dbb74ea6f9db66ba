#pragma once

#include "support/temp_folder.h"

namespace unroll {

/// Where a fuzzer writes its files, one in the place of another.
inline const TempFolder& folder() {
  static const TempFolder folder;
  return folder;
}

}  // namespace unroll

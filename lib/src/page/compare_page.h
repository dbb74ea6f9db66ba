#pragma once

#include <string>

#include "page/page.h"
#include "unroll/study.h"

namespace unroll {

/// A comparison as a page: its curves in one plot, its differences and results in tables.
std::string to_html(const Comparison& comparison, const Provenance& provenance);

}  // namespace unroll

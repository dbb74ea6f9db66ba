#pragma once

#include <string>
#include <vector>

#include "page/page.h"
#include "unroll/study.h"

namespace unroll {

/// Reproduced results as a page: the table, and all curves in one plot.
std::string to_html(const std::vector<Reproduction>& rows, const Provenance& provenance);

}  // namespace unroll

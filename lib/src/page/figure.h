#pragma once

#include <string>

#include "page/chart.h"

namespace unroll {

/// The plot as an HTML figure with an SVG image in it; empty without a finite value.
std::string figure(const Chart& chart);

}  // namespace unroll

#pragma once

#include <string>
#include <vector>

#include "page/chart.h"
#include "page/page.h"

namespace unroll {

/// Trainings that run one after the other, before they come to what tables could show.
struct RunningPage {
  std::string title = {};
  std::vector<Series> curves = {};  ///< perplexity by epoch
  std::string status = {};          ///< HTML, as status_line or running_status gives it
  bool runs = true;
  Provenance provenance = {};
};

/// The page; it refreshes itself while they run.
std::string to_html(const RunningPage& page);

}  // namespace unroll

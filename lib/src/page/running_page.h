#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "page/page.h"
#include "unroll/train.h"

namespace unroll {

/// Trainings that run one after the other, while they do: their curves, and no results yet.
struct RunningPage {
  std::string title = {};
  /// Each model's name and the epochs of its first seed.
  std::vector<std::pair<std::string, std::vector<EpochStats>>> models = {};
  std::string training = {};    ///< which one runs: `rnn, seed 3`
  int64_t done = 0;             ///< epochs of it
  int64_t epochs = 0;           ///< in all
  std::string written_at = {};  ///< when
  std::string problem = {};     ///< why they stopped; empty while they run
  Provenance provenance = {};
};

/// The page; it refreshes itself while they run.
std::string to_html(const RunningPage& page);

}  // namespace unroll

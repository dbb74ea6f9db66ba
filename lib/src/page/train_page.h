#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "page/page.h"
#include "report/train_report.h"

namespace unroll {

/// A text that a model wrote while it was trained.
struct Sample {
  int64_t epoch = 0;
  std::string text = {};
};

/// A training as a page shows it.
struct TrainPage {
  enum class Status { kRuns, kEnded, kStopped };

  TrainReport report = {};           ///< its result as far as it goes
  std::string text = {};             ///< which text it learns from
  int64_t epochs = 0;                ///< in all
  double clip = 0;                   ///< bound on the gradient norm; 0: none
  std::vector<Sample> samples = {};  ///< in order
  int64_t resumed_after = 0;         ///< epochs that other pages have the samples of
  std::string written_at = {};       ///< when, for a reader of one that is not written any more
  Provenance provenance = {};
  Status status = Status::kRuns;
  std::string problem = {};     ///< why it stopped
  std::string inspection = {};  ///< HTML: what the trained model does
};

/// The page; it refreshes itself while the training runs.
std::string to_html(const TrainPage& page);

}  // namespace unroll

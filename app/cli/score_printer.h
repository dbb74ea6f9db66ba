#pragma once

#include <cstdint>

#include "cli/options.h"
#include "report/score.h"

namespace unroll::app {

/// Prints scores as they come, and what they sum up to at the end.
class ScorePrinter {
 public:
  /// Says on stderr what the columns are, unless --json or --quiet.
  explicit ScorePrinter(const Options& options);

  void print(const Score& score);

  /// Prints the sum on stderr, unless --quiet.
  void finish() const;

 private:
  bool json_;
  bool quiet_;
  int64_t scores_ = 0;
  Evaluation sum_;
};

}  // namespace unroll::app

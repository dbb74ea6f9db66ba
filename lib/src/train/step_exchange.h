#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "unroll/ranks.h"

namespace unroll {

/// Numbers of a batch, of this rank's rows or of all of them.
struct BatchNumbers {
  double loss = 0;  ///< times the labels
  double labels = 0;
  int64_t tokens = 0;
  Request asked = Request::kNone;  ///< of all of them, the highest that anybody asked for
};

/// What the ranks' hosts exchange of a step: numbers of the batch, and what somebody asks for
/// (Ranks::ask). Functions throw RankLost.
class StepExchange {
 public:
  explicit StepExchange(std::shared_ptr<Ranks> ranks) : ranks_(std::move(ranks)) {}

  void start(const BatchNumbers& own);
  /// All ranks' numbers. What they ask for is known from then on (Ranks::take_asked).
  BatchNumbers finish();

 private:
  std::shared_ptr<Ranks> ranks_;
  torch::Tensor sums_;
  Ranks::Wait wait_;
};

}  // namespace unroll

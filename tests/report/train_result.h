#pragma once

#include <cstdint>
#include <vector>

#include "unroll/train.h"

namespace unroll {

/// What a training of these perplexities came to.
inline TrainResult result_of(const std::vector<double>& perplexities) {
  TrainResult result;
  for (const double perplexity : perplexities) {
    const auto epoch = static_cast<int64_t>(result.epochs.size()) + 1;
    result.epochs.push_back({.epoch = epoch,
                             .perplexity = perplexity,
                             .tokens_per_second = 1000.0 * static_cast<double>(epoch),
                             .grad_norm = 0.25,
                             .seconds = 0.5,
                             .lr = 0.125});
  }
  result.predictions = {"time \"traveller\"", "caf\xc3\xa9"};
  result.seconds = 2.5;
  return result;
}

}  // namespace unroll

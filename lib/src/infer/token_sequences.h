#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "unroll/generate.h"

namespace unroll {

/// Who follows sequences of tokens while they are continued; each function may be empty.
struct SequenceFollower {
  /// Called with each token that was taken: whether its sequence goes on.
  std::function<bool(std::size_t sequence, int64_t token)> goes_on = {};
  /// Called once at the end of each sequence that is continued.
  std::function<void(std::size_t sequence)> on_end = {};
  TokenCallback on_token = {};  ///< called before goes_on; needs the logits of each step
};

/// Continues sequences of at least one token each as one batch, by `num_preds` tokens or, where no
/// more can be taken, less. Returns them with their continuations.
///
/// Throws UsageError for bad options or num_preds < 0.
std::vector<std::vector<int64_t>> continue_sequences(std::vector<std::vector<int64_t>> sequences,
                                                     int64_t num_preds, SequenceModel& net,
                                                     const GenerateOptions& options,
                                                     const SequenceFollower& follower);

}  // namespace unroll

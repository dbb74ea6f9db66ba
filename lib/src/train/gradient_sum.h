#pragma once

#include <torch/types.h>

#include <cstdint>

#include "unroll/model.h"
#include "unroll/ranks.h"  // what its functions throw

namespace unroll {

/// A batch's loss, a scalar, and how many tokens it has: all ranks' rows of it.
struct WholeBatch {
  torch::Tensor loss = {};
  int64_t tokens = 0;
};

/// Makes the gradients of a rank's rows those of the whole batch. Each rank's loss is a mean over
/// its own labels, and counts by how many they are.
///
/// All of its functions throw RankLost, and so does a backward pass that reports gradients. It
/// cannot be used again after one of them has thrown.
class GradientSum {
 public:
  virtual ~GradientSum() = default;

  /// Before each step, and before each replay of a captured one, with the tokens of this rank's
  /// rows: what the hosts exchange by themselves.
  virtual void before_step(int64_t /*tokens*/) {}

  /// For the forward pass of the next batch, whose graph it must outlive; empty where it is of no
  /// use.
  virtual GradientCallback on_gradient() { return {}; }

  /// After the forward pass, with the mean loss of this rank's rows (B,T).
  virtual void begin(const torch::Tensor& loss, const torch::Tensor& labels) = 0;

  /// After the backward pass.
  virtual WholeBatch finish() = 0;

  /// After each step, and after each replay.
  virtual void after_step() {}

  /// Returns when all ranks' devices have done what they were given, if they wait for each other.
  /// It has the ranks' time limit: so it is called before whatever else waits for the device.
  virtual void wait() {}

  /// Whether all ranks whose devices wait for each other say so.
  virtual bool all_agree(bool own) { return own; }
};

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "unroll/ranks.h"

namespace unroll {

/// A batch's loss, a scalar, and how many tokens it has: all ranks' rows of it.
struct WholeBatch {
  torch::Tensor loss = {};
  int64_t tokens = 0;
};

/// Makes the gradients of a rank's rows those of the whole batch. Each rank's loss is a mean over
/// its own labels, and counts by how many they are.
///
/// What is known after the forward pass travels while the backward pass computes. The gradients
/// follow in flat buckets: while one travels, the next is filled.
class GradientSum {
 public:
  /// Without ranks, or with one, it changes nothing.
  GradientSum(std::shared_ptr<Ranks> ranks, std::vector<torch::Tensor> params);

  /// After the forward pass, with the mean loss of this rank's rows (B,T).
  void begin(const torch::Tensor& loss, const torch::Tensor& labels);

  /// After the backward pass. Throws RankLost.
  WholeBatch finish();

 private:
  // A run of parameters and one row for their gradients.
  struct Bucket {
    torch::Tensor flat;
    std::vector<torch::Tensor> params;
    std::vector<torch::Tensor> slices;  // of `flat`, in the parameters' shapes
  };

  bool is_alone() const { return ranks_->world() == 1; }
  void make_buckets();
  void fill(const Bucket& bucket, double share) const;

  std::shared_ptr<Ranks> ranks_;
  std::vector<torch::Tensor> params_;
  std::vector<Bucket> buckets_;
  WholeBatch own_;
  double labels_ = 0;  // of this rank that count
  torch::Tensor sums_;
  Ranks::Wait wait_for_sums_;
};

}  // namespace unroll

#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "unroll/model.h"
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
/// follow in flat buckets, from the output layer down: as soon as the model knows them
/// (SequenceModel::reporting_loss), or else when the backward pass is over. While one bucket
/// travels, the next is filled.
///
/// All of its functions throw RankLost, and so does a backward pass that reports gradients. It
/// cannot be used again after one of them has thrown.
class GradientSum {
 public:
  /// Without ranks, or with one, it changes nothing.
  GradientSum(std::shared_ptr<Ranks> ranks, const std::vector<torch::Tensor>& params);
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  /// For the forward pass of the next batch, whose graph it must outlive; empty where it changes
  /// nothing.
  GradientCallback on_gradient();

  /// After the forward pass, with the mean loss of this rank's rows (B,T).
  void begin(const torch::Tensor& loss, const torch::Tensor& labels);

  /// After the backward pass.
  WholeBatch finish();

 private:
  struct Part {
    torch::Tensor param;
    torch::Tensor slice;  // of its bucket, in the parameter's shape
    bool is_filled = false;
  };
  // A run of parameters and one row for their gradients.
  struct Bucket {
    std::vector<Part> parts;
    torch::Tensor flat;
    Ranks::Wait wait;
  };

  bool is_alone() const { return ranks_->world() == 1; }
  void make_buckets(std::vector<torch::Tensor> params);
  void take_early(const torch::Tensor& param, const torch::Tensor& gradient);
  void fill(Part& part, const torch::Tensor& gradient) const;
  void start_filled();

  std::shared_ptr<Ranks> ranks_;
  std::vector<Bucket> buckets_;
  std::size_t started_ = 0;  // of the buckets: all ranks start them in their order
  bool is_open_ = false;     // between begin and finish
  WholeBatch own_;
  double labels_ = 0;  // of this rank that count
  torch::Tensor sums_;
  Ranks::Wait wait_for_sums_;
};

}  // namespace unroll

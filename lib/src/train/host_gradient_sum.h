#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "train/gradient_sum.h"
#include "train/step_exchange.h"

namespace unroll {

/// Through the hosts' memory.
///
/// What is known after the forward pass travels while the backward pass computes. The gradients
/// follow in flat buckets, from the output layer down: as soon as the model knows them
/// (SequenceModel::reporting_loss), or else when the backward pass is over. While one bucket
/// travels, the next is filled.
class HostGradientSum : public GradientSum {
 public:
  /// Without ranks, or with one, it changes nothing.
  HostGradientSum(std::shared_ptr<Ranks> ranks, const std::vector<torch::Tensor>& params);
  HostGradientSum(const HostGradientSum&) = delete;
  HostGradientSum& operator=(const HostGradientSum&) = delete;

  GradientCallback on_gradient() override;
  void begin(const torch::Tensor& loss, const torch::Tensor& labels) override;
  WholeBatch finish() override;

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
  StepExchange exchange_;
};

}  // namespace unroll

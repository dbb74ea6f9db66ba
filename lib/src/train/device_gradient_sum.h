#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "cuda_part/device_sum.h"
#include "train/gradient_sum.h"
#include "train/step_exchange.h"

namespace unroll {

/// By operations of the devices alone, so that a step of several ranks can be captured.
///
/// All travels after the backward pass, in one row: the blocks of a recurrence's kernels wait for
/// each other, and may not find room beside a sum that waits for another device.
class DeviceGradientSum : public GradientSum {
 public:
  DeviceGradientSum(std::unique_ptr<DeviceSum> sum, std::shared_ptr<Ranks> ranks,
                    std::vector<torch::Tensor> params)
      : sum_(std::move(sum)),
        ranks_(std::move(ranks)),
        exchange_(ranks_),
        params_(std::move(params)) {}

  void before_step(int64_t tokens) override;
  void begin(const torch::Tensor& loss, const torch::Tensor& labels) override;
  WholeBatch finish() override;
  void after_step() override;
  void wait() override;
  bool all_agree(bool own) override;

  /// Zeros, as many and of the type of the row that travels.
  static torch::Tensor zero_row(const std::vector<torch::Tensor>& params);

 private:
  std::unique_ptr<DeviceSum> sum_;
  std::shared_ptr<Ranks> ranks_;
  StepExchange exchange_;
  std::vector<torch::Tensor> params_;
  BatchNumbers whole_;     // of the running step
  bool is_waited_ = true;  // whether no step was taken since the last wait
  // Scalars on the device, of this rank's rows.
  torch::Tensor loss_;
  torch::Tensor labels_;  // int64: how many count
};

}  // namespace unroll

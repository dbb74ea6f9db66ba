#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "cuda_part/device_sum.h"

namespace unroll {

/// What adds up between devices, between hosts, which a graph does not repeat.
class SumByHosts : public DeviceSum {
 public:
  explicit SumByHosts(std::shared_ptr<Ranks> ranks) : ranks_(std::move(ranks)) {}

  void all_reduce(const torch::Tensor& values) override {
    last = values;
    ranks_->all_reduce(values);
  }
  void end_step() override { ++steps; }
  void wait() override { ++waits; }

  torch::Tensor last;
  int64_t steps = 0;
  int64_t waits = 0;

 private:
  std::shared_ptr<Ranks> ranks_;
};

}  // namespace unroll

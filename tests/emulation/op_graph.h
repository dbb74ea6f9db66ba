#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cuda_part/cuda_graph.h"

namespace unroll {

/// A CudaGraph on the CPU, out of LibTorch's operations: what a CUDA graph is out of kernels.
///
/// A replay does the operations again on the tensors that they were captured with, whatever stands
/// in these now, and with the numbers that the host gave then. As on a GPU nothing may ask for a
/// value while it is captured. Only operations of LibTorch are captured: no kernels of our own.
class OpGraph : public CudaGraph {
 public:
  void warm_up(const std::function<void()>& work) override { work(); }
  void capture(const std::function<void()>& work) override;
  void replay() override;

  int64_t captures() const { return captures_; }
  int64_t replays() const { return replays_; }

  /// One operation: what it was called with, and what it gave.
  struct Call {
    c10::OperatorHandle operation;
    torch::jit::Stack arguments;
    torch::jit::Stack results;
  };

 private:
  std::vector<Call> calls_;
  int64_t captures_ = 0;
  int64_t replays_ = 0;
};

}  // namespace unroll

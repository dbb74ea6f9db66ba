#pragma once

#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/Device.h>

#include <functional>
#include <memory>

#include "cuda_part/cuda_graph.h"
#include "cuda_part/streams.h"

namespace unroll::cuda {

/// at::cuda::CUDAGraph on a stream of its own.
class CapturedGraph : public CudaGraph {
 public:
  explicit CapturedGraph(c10::DeviceIndex device);

  void warm_up(const std::function<void()>& work) override;
  void capture(const std::function<void()>& work) override;
  void replay() override;

 private:
  OwnStream stream_;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
};

}  // namespace unroll::cuda

#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "cuda_part/cuda_driver.h"

namespace unroll {

/// What kernels of one device work with: memory in which the blocks of a kernel meet, and a second
/// stream. One kernel at a time may use it: who runs kernels one after the other keeps one.
/// Captured kernels use it at their replays, too.
class Workspace {
 public:
  /// Counts, 0 between the kernels: of a whole grid, then of `groups` groups.
  unsigned* arrivals(int groups, torch::Device device) {
    if (!arrivals_.defined() || arrivals_.numel() < 1 + groups) {
      arrivals_ = keep(torch::zeros({1 + groups}, torch::dtype(torch::kInt32).device(device)));
    }
    return reinterpret_cast<unsigned*>(arrivals_.mutable_data_ptr<int32_t>());
  }

  /// Room for so many words of 4 bytes, whatever they are.
  uint32_t* words(int64_t count, torch::Device device) {
    if (!words_.defined() || words_.numel() < count) {
      words_ = keep(torch::empty({count}, torch::dtype(torch::kInt32).device(device)));
    }
    return reinterpret_cast<uint32_t*>(words_.mutable_data_ptr<int32_t>());
  }

  SideStream& side_stream(const CudaDriver& driver, torch::Device device) {
    if (!side_stream_) {
      side_stream_ = driver.make_side_stream(device);
    }
    return *side_stream_;
  }

 private:
  const torch::Tensor& keep(const torch::Tensor& tensor) { return kept_.emplace_back(tensor); }

  torch::Tensor arrivals_;
  torch::Tensor words_;
  std::vector<torch::Tensor> kept_;  // all that a captured kernel may have
  std::unique_ptr<SideStream> side_stream_;
};

}  // namespace unroll

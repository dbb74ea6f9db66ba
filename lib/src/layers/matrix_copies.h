#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "cuda_part/cuda_kernels.h"
#include "unroll/error.h"  // what its functions throw

namespace unroll {

/// Copies of float32 matrices on a device, many by one kernel. What they read and write must live
/// until run().
class MatrixCopies {
 public:
  /// Copies `from`, with these rows (columns) added to each row, to a matrix of the same shape, the
  /// columns or the rows of which are neighbours in memory. With something to add it must be the
  /// columns. Throws Error for a shape that does not fit.
  void add(const torch::Tensor& from, const torch::Tensor& to, const torch::Tensor& added = {},
           const torch::Tensor& added_again = {});

  /// The same for a row.
  void add_row(const torch::Tensor& from, const torch::Tensor& to, const torch::Tensor& added = {});

  /// Puts them all on the device's stream, if there are any. The kernel is kCopyMatrices.
  void run(const CudaKernels& kernels, torch::Device device) const;

 private:
  const float* row(const torch::Tensor& added, int64_t columns);

  std::vector<cuda::MatrixCopy> copies_;
  std::vector<torch::Tensor> rows_;  // what is added
};

}  // namespace unroll

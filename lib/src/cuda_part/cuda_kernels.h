#pragma once

#include <torch/types.h>

#include <cstdint>

#include "kernels/cell_table.h"
#include "kernels/cuda/arguments.h"
#include "kernels/cuda/shapes.h"
#include "unroll/error.h"  // what its functions throw

namespace unroll {

/// Kernels of a device for all time steps of a layer. They work in order with what LibTorch does
/// there, and nothing waits for them.
class CudaKernels {
 public:
  virtual ~CudaKernels() = default;

  /// Whether there are kernels for batches of B and H hidden units: the weights must find room in
  /// the device's multiprocessors.
  virtual bool serve(CellKind cell, cuda::Operands operands, int64_t batch_size, int64_t hidden,
                     torch::Device device) const = 0;

  /// Whether there are also kernels for a continuation by a vocabulary of V.
  virtual bool can_generate(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                            torch::Device device) const = 0;

  /// Throws Error when they cannot be run. The arguments' exchange is the kernels' own.
  virtual void run(CellKind cell, cuda::Operands operands, const cuda::ForwardArguments& arguments,
                   torch::Device device) const = 0;
  virtual void run(CellKind cell, cuda::Operands operands, const cuda::BackwardArguments& arguments,
                   torch::Device device) const = 0;
  virtual void run(CellKind cell, const cuda::GenerateArguments& arguments,
                   torch::Device device) const = 0;
};

}  // namespace unroll

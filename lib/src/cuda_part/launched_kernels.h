#pragma once

#include "cuda_part/cuda_kernels.h"

namespace unroll::cuda {

/// kernels/cuda on LibTorch's current stream.
class LaunchedKernels : public CudaKernels {
 public:
  bool serve(CellKind cell, Operands operands, int64_t batch_size, int64_t hidden,
             torch::Device device) const override;
  bool can_generate(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                    torch::Device device) const override;
  void run(CellKind cell, Operands operands, const ForwardArguments& arguments,
           torch::Device device) const override;
  void run(CellKind cell, Operands operands, const BackwardArguments& arguments,
           torch::Device device) const override;
  void run(CellKind cell, const GenerateArguments& arguments, torch::Device device) const override;
};

}  // namespace unroll::cuda

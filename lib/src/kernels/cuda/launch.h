#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/plan.h"

namespace unroll::cuda {

/// Reads the limits of a GPU. Returns CUDA's error.
cudaError_t read_limits(int device, GpuLimits& limits);

/// Puts all time steps on a stream, by a plan for them: of ForwardArguments, BackwardArguments or
/// GenerateArguments, which point to the device's memory; their exchange, if the plan has one, to
/// zeros. Returns CUDA's error.
template <typename Arguments>
cudaError_t launch(const Plan& plan, CellKind cell, const Arguments& arguments,
                   cudaStream_t stream);

}  // namespace unroll::cuda

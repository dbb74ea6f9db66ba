#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/plan.h"

namespace unroll::cuda {

/// What a device has. Returns CUDA's error.
cudaError_t read_limits(int device, DeviceLimits& limits);

/// Puts all time steps on a stream, by a plan for them. The arguments point to the device's memory;
/// their exchange, if the plan has one, to zeros. Returns CUDA's error.
cudaError_t launch(const Plan& plan, CellKind cell, const ForwardArguments& arguments,
                   cudaStream_t stream);
cudaError_t launch(const Plan& plan, CellKind cell, const BackwardArguments& arguments,
                   cudaStream_t stream);
cudaError_t launch(const Plan& plan, CellKind cell, const GenerateArguments& arguments,
                   cudaStream_t stream);

}  // namespace unroll::cuda

#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch_kernel.h"

namespace unroll::cuda {

cudaError_t launch_in_grid(const Plan& plan, CellKind cell, const ForwardArguments& arguments,
                           cudaStream_t stream) {
  return with_grid_kernel(
      plan, cell, cudaErrorInvalidValue, [&](auto kind, auto columns, auto S, auto operands) {
        return launch_kernel(grid_forward<kind(), columns(), S(), operands()>, plan, 0, stream,
                             arguments, plan.blocks, plan.units);
      });
}

cudaError_t launch_in_grid(const Plan& plan, CellKind cell, const BackwardArguments& arguments,
                           cudaStream_t stream) {
  return with_grid_kernel(
      plan, cell, cudaErrorInvalidValue, [&](auto kind, auto columns, auto S, auto operands) {
        return launch_kernel(grid_backward<kind(), columns(), S(), operands()>, plan, 0, stream,
                             arguments, plan.blocks, plan.units);
      });
}

cudaError_t launch_in_grid(const Plan& plan, CellKind cell, const GenerateArguments& arguments,
                           cudaStream_t stream) {
  return with_grid_kernel(plan, cell, cudaErrorInvalidValue,
                          [&](auto kind, auto columns, auto S, auto operands) {
                            if constexpr (operands() == Operands::kFloat32) {
                              return launch_kernel(grid_generate<kind(), columns(), S()>, plan, 0,
                                                   stream, arguments, plan.blocks, plan.units);
                            } else {
                              return cudaErrorInvalidValue;
                            }
                          });
}

}  // namespace unroll::cuda

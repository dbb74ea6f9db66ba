#include <type_traits>

#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch_kernel.h"

namespace unroll::cuda {

template <typename Arguments>
cudaError_t launch_in_grid(const Plan& plan, CellKind cell, const Arguments& arguments,
                           cudaStream_t stream) {
  return with_grid_kernel(
      plan, cell, cudaErrorInvalidValue, [&](auto kind, auto columns, auto S, auto operands) {
        const auto run = [&](auto* kernel) {
          return launch_kernel(kernel, plan, 0, stream, arguments, plan.blocks, plan.units);
        };
        if constexpr (!std::is_same_v<Arguments, GenerateArguments>) {
          return run(grid_layer<Arguments, kind(), columns(), S(), operands()>);
        } else if constexpr (operands() == Operands::kFloat32) {
          return run(grid_generate<kind(), columns(), S()>);
        } else {
          return cudaErrorInvalidValue;
        }
      });
}

template cudaError_t launch_in_grid(const Plan&, CellKind, const ForwardArguments&, cudaStream_t);
template cudaError_t launch_in_grid(const Plan&, CellKind, const BackwardArguments&, cudaStream_t);
template cudaError_t launch_in_grid(const Plan&, CellKind, const GenerateArguments&, cudaStream_t);

}  // namespace unroll::cuda

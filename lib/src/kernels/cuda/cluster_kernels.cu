#include <type_traits>

#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch_kernel.h"

namespace unroll::cuda {

template <typename Arguments>
cudaError_t launch_in_clusters(const Plan& plan, CellKind cell, const Arguments& arguments,
                               cudaStream_t stream) {
  return with_cluster_kernel(
      plan, cell, cudaErrorInvalidValue, [&](auto kind, auto most_hidden, auto S, auto operands) {
        const auto run = [&](auto* kernel) {
          return launch_kernel(kernel, plan, plan.blocks, stream, arguments, plan.blocks);
        };
        if constexpr (!std::is_same_v<Arguments, GenerateArguments>) {
          return run(cluster_layer<Arguments, kind(), most_hidden(), S(), operands()>);
        } else if constexpr (operands() == Operands::kFloat32) {
          return run(cluster_generate<kind(), most_hidden(), S()>);
        } else {
          return cudaErrorInvalidValue;
        }
      });
}

template cudaError_t launch_in_clusters(const Plan&, CellKind, const ForwardArguments&,
                                        cudaStream_t);
template cudaError_t launch_in_clusters(const Plan&, CellKind, const BackwardArguments&,
                                        cudaStream_t);
template cudaError_t launch_in_clusters(const Plan&, CellKind, const GenerateArguments&,
                                        cudaStream_t);

}  // namespace unroll::cuda

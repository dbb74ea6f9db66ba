#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch_kernel.h"

namespace unroll::cuda {

cudaError_t launch_in_clusters(const Plan& plan, CellKind cell, const ForwardArguments& arguments,
                               cudaStream_t stream) {
  return with_cluster_kernel(
      plan, cell, cudaErrorInvalidValue, [&](auto kind, auto most_hidden, auto S, auto operands) {
        return launch_kernel(cluster_forward<kind(), most_hidden(), S(), operands()>, plan,
                             plan.blocks, stream, arguments, plan.blocks);
      });
}

cudaError_t launch_in_clusters(const Plan& plan, CellKind cell, const BackwardArguments& arguments,
                               cudaStream_t stream) {
  return with_cluster_kernel(
      plan, cell, cudaErrorInvalidValue, [&](auto kind, auto most_hidden, auto S, auto operands) {
        return launch_kernel(cluster_backward<kind(), most_hidden(), S(), operands()>, plan,
                             plan.blocks, stream, arguments, plan.blocks);
      });
}

cudaError_t launch_in_clusters(const Plan& plan, CellKind cell, const GenerateArguments& arguments,
                               cudaStream_t stream) {
  return with_cluster_kernel(
      plan, cell, cudaErrorInvalidValue, [&](auto kind, auto most_hidden, auto S, auto operands) {
        if constexpr (operands() == Operands::kFloat32) {
          return launch_kernel(cluster_generate<kind(), most_hidden(), S()>, plan, plan.blocks,
                               stream, arguments, plan.blocks);
        } else {
          return cudaErrorInvalidValue;
        }
      });
}

}  // namespace unroll::cuda

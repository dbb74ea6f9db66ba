#include "emulation/emulated_kernels.h"

#include <optional>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "emulation/simt_on_cpu.h"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/kernels.h"

namespace unroll {
namespace {

using namespace cuda;

template <typename Arguments>
void run_way(CellKind cell, Operands operands, Arguments a, const GpuLimits& limits) {
  const auto plan = make_plan(cell, kIsBackward<Arguments> ? Way::kBackward : Way::kForward,
                              a.batch_size, a.hidden, limits, operands);
  if (!plan) {
    throw std::runtime_error("there is no plan");
  }
  std::vector<float> values(static_cast<std::size_t>(plan->exchange_floats));
  std::vector<unsigned> arrivals(static_cast<std::size_t>(plan->groups));
  a.exchange = {values.data(), arrivals.data()};
  const Grid grid{.blocks = plan->blocks * plan->groups,
                  .threads = kThreads,
                  .cluster = plan->in_clusters ? plan->blocks : 1,
                  .shared_bytes = static_cast<std::size_t>(plan->shared_bytes)};
  const auto start = [&](const auto& kernel) {
    cuda::run(grid, kernel);
    return true;
  };
  const auto in_cluster = [&](auto kind, auto most, auto S, auto of) {
    return start([&] {
      if constexpr (!std::is_same_v<Arguments, GenerateArguments>) {
        cluster_layer<Arguments, kind(), most(), S(), of()>(a, plan->blocks);
      } else if constexpr (of() == Operands::kFloat32) {
        cluster_generate<kind(), most(), S()>(a, plan->blocks);
      }
    });
  };
  const auto in_grid = [&](auto kind, auto columns, auto S, auto of) {
    return start([&] {
      if constexpr (!std::is_same_v<Arguments, GenerateArguments>) {
        grid_layer<Arguments, kind(), columns(), S(), of()>(a, plan->blocks, plan->units);
      } else if constexpr (of() == Operands::kFloat32) {
        grid_generate<kind(), columns(), S()>(a, plan->blocks, plan->units);
      }
    });
  };
  const bool is_run = plan->in_clusters ? with_cluster_kernel(*plan, cell, false, in_cluster)
                                        : with_grid_kernel(*plan, cell, false, in_grid);
  if (!is_run) {
    throw std::runtime_error("there is no kernel for the plan");
  }
}

}  // namespace

bool EmulatedKernels::serve(CellKind cell, Operands operands, int64_t batch_size, int64_t hidden,
                            torch::Device) const {
  return has_plans(cell, batch_size, hidden, limits_, operands);
}

bool EmulatedKernels::can_generate(CellKind cell, int64_t batch_size, int64_t hidden,
                                   int64_t vocab_size, torch::Device) const {
  return has_generation(cell, batch_size, hidden, vocab_size, limits_);
}

void EmulatedKernels::run(CellKind cell, Operands operands, const ForwardArguments& arguments,
                          torch::Device) const {
  run_way(cell, operands, arguments, limits_);
}

void EmulatedKernels::run(CellKind cell, Operands operands, const BackwardArguments& arguments,
                          torch::Device) const {
  run_way(cell, operands, arguments, limits_);
}

void EmulatedKernels::run(CellKind cell, const GenerateArguments& arguments, torch::Device) const {
  run_way(cell, Operands::kFloat32, arguments, limits_);
}

}  // namespace unroll

#include "cuda_part/launched_kernels.h"

#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <map>
#include <mutex>

#include "base/formatted.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/plan.h"
#include "unroll/error.h"

namespace unroll::cuda {
namespace {

void require(cudaError_t error) {
  if (error != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // else the next call would report it
    throw Error(
        formatted("a kernel of the fused model cannot be run: {}", cudaGetErrorString(error)));
  }
}

const GpuLimits& limits_of(torch::Device device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, GpuLimits> known;
  const std::lock_guard lock(mutex);
  const auto entry = known.find(device.index());
  if (entry != known.end()) {
    return entry->second;
  }
  GpuLimits limits;
  require(read_limits(device.index(), limits));
  return known.emplace(device.index(), limits).first->second;
}

template <typename Arguments>
void run_way(CellKind cell, Operands operands, Way way, Arguments arguments, torch::Device device) {
  const auto plan =
      make_plan(cell, way, arguments.batch_size, arguments.hidden, limits_of(device), operands);
  if (!plan) {
    throw Error(formatted("{} hidden units do not fit in {}", arguments.hidden, device.str()));
  }
  const c10::cuda::CUDAGuard guard(device);
  // Freed when the launch is on the stream; what gets it next comes after it there.
  at::Tensor exchange;
  if (!plan->in_clusters) {
    exchange =
        at::zeros({plan->exchange_floats + plan->groups}, at::dtype(at::kFloat).device(device));
    arguments.exchange.values = exchange.mutable_data_ptr<float>();
    arguments.exchange.arrivals =
        reinterpret_cast<unsigned*>(arguments.exchange.values + plan->exchange_floats);
  }
  require(launch(*plan, cell, arguments, c10::cuda::getCurrentCUDAStream(device.index())));
}

}  // namespace

bool LaunchedKernels::serve(CellKind cell, Operands operands, int64_t batch_size, int64_t hidden,
                            torch::Device device) const {
  return has_plans(cell, batch_size, hidden, limits_of(device), operands);
}

bool LaunchedKernels::can_generate(CellKind cell, int64_t batch_size, int64_t hidden,
                                   int64_t vocab_size, torch::Device device) const {
  return has_generation(cell, batch_size, hidden, vocab_size, limits_of(device));
}

void LaunchedKernels::run(CellKind cell, Operands operands, const ForwardArguments& arguments,
                          torch::Device device) const {
  run_way(cell, operands, Way::kForward, arguments, device);
}

void LaunchedKernels::run(CellKind cell, Operands operands, const BackwardArguments& arguments,
                          torch::Device device) const {
  run_way(cell, operands, Way::kBackward, arguments, device);
}

void LaunchedKernels::run(CellKind cell, const GenerateArguments& arguments,
                          torch::Device device) const {
  run_way(cell, Operands::kFloat32, Way::kForward, arguments, device);
}

}  // namespace unroll::cuda

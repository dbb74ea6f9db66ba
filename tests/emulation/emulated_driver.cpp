#include "emulation/emulated_driver.h"

#include <atomic>
#include <cstddef>
#include <functional>
#include <utility>

#include "base/formatted.h"
#include "emulation/every_kernel.h"
#include "emulation/simt_on_cpu.h"

namespace unroll {
namespace {

// One after the other, each first in its turn, among all streams.
class EmulatedSideStream : public SideStream {
 public:
  void run(const std::function<void()>& aside, const std::function<void()>& here) override {
    static std::atomic<unsigned> runs = 0;
    const bool is_first = ++runs % 2 == 1;
    (is_first ? aside : here)();
    (is_first ? here : aside)();
  }
};

}  // namespace

cuda::GpuLimits small_gpu(int multiprocessors, bool has_clusters) {
  cuda::GpuLimits limits{.capability = has_clusters ? 90 : 80,
                         .multiprocessors = multiprocessors,
                         .shared_bytes = 227 * 1024};
  for (int n = cuda::kFewestBlocks; has_clusters && n <= cuda::kMostBlocks; ++n) {
    limits.clusters.at(static_cast<std::size_t>(n)) = multiprocessors / n;
  }
  return limits;
}

cuda::GpuLimits EmulatedDriver::limits(torch::Device /*device*/) const {
  auto limits = limits_;
  limits.clusters = {};  // asked for by most_clusters
  return limits;
}

LoadedKernel EmulatedDriver::load(const CompiledKernel& kernel, torch::Device /*device*/) const {
  const auto found = cuda::every_kernel().find(kernel.name);
  if (found == cuda::every_kernel().end()) {
    throw Error(formatted("there is no kernel {}", kernel.name));
  }
  return &found->second;
}

int EmulatedDriver::most_clusters(LoadedKernel /*kernel*/, const KernelLaunch& launch,
                                  torch::Device /*device*/) const {
  return limits_.clusters.at(static_cast<std::size_t>(launch.cluster));
}

void EmulatedDriver::launch(LoadedKernel kernel, const KernelLaunch& launch,
                            std::span<const void* const> parameters,
                            torch::Device /*device*/) const {
  const auto& run = *static_cast<const cuda::EmulatedKernel*>(kernel);
  cuda::run({.blocks = launch.blocks,
             .threads = cuda::kThreads,
             .cluster = launch.cluster > 0 ? launch.cluster : 1,
             .shared_bytes = static_cast<std::size_t>(launch.shared_bytes)},
            [&] { run(parameters); });
}

std::unique_ptr<SideStream> EmulatedDriver::make_side_stream(torch::Device /*device*/) const {
  return std::make_unique<EmulatedSideStream>();
}

EmulatedKernels::EmulatedKernels(const cuda::GpuLimits& limits)
    : EmulatedKernels(std::make_unique<EmulatedDriver>(limits)) {}

EmulatedKernels::EmulatedKernels(std::unique_ptr<EmulatedDriver> driver)
    : CudaKernels(*driver, [](const std::string& name,
                              int) { return CompiledKernel{.name = name, .code = {}}; }),
      driver_(std::move(driver)) {}

}  // namespace unroll

#include "cli/machine.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include "base/formatted.h"
#include "unroll/device.h"
#include "unroll/error.h"

namespace unroll::app {

void check_machine_options(const Options& options) {
  constexpr int64_t kMostThreads = 4096;
  check_device_name(options.text("device"));
  if (const auto threads = options.optional_integer("threads");
      threads && (*threads < 1 || *threads > kMostThreads)) {
    throw UsageError(formatted("--threads must be in [1, {}], got {}", kMostThreads, *threads));
  }
}

void forbid_tf32() {
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
}

torch::Device set_up_machine(const Options& options) {
  forbid_tf32();
  const auto device = parse_device(options.text("device"));
  if (const auto threads = options.optional_integer("threads")) {
    at::set_num_threads(static_cast<int>(*threads));
  }
  return device;
}

bool wants_cuda_kernels(const Options& options, Precision precision, torch::Device device,
                        const std::function<void(const std::string&)>& warn) {
  const bool in_bf16 = precision == Precision::kBf16;
  if (!device.is_cuda() || !(options.given("model") || in_bf16)) {
    return false;
  }
  const auto& problem = cuda_part_problem();
  if (!problem.empty() && in_bf16) {
    throw Error(
        formatted("precision bf16 on {} takes the fused model's own kernels: {}; choose fp32, or "
                  "--device cpu",
                  device.str(), problem));
  }
  if (!problem.empty()) {
    warn(formatted("a fused model computes without kernels of its own on {}: {}", device.str(),
                   problem));
  }
  return problem.empty();
}

}  // namespace unroll::app

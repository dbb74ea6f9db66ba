#include "unroll/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <torch/cuda.h>

#include <charconv>
#include <filesystem>
#include <string>

#include "base/device_name.h"
#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// LibTorch's CUDA part lies beside its CPU part and registers itself when it is loaded. Loading
// takes a second or more, so it is tried only where NVIDIA's driver can be loaded too.
void load_cuda_part() {
  if (dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) == nullptr) {
    return;
  }
  const auto* in_cpu_part = reinterpret_cast<const void*>(&at::detail::getCUDAHooks);
  Dl_info info{};
  if (dladdr(in_cpu_part, &info) == 0 || info.dli_fname == nullptr) {
    return;
  }
  const auto path = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
}

constexpr std::string_view kDeviceNames = "auto, cpu, cuda or cuda:N";

// Index of `cuda:N`, 0 for `cuda`, -1 for anything that is not a CUDA device's name.
int64_t cuda_index(std::string_view name) {
  if (name == "cuda") {
    return 0;
  }
  constexpr std::string_view kPrefix = "cuda:";
  if (!name.starts_with(kPrefix)) {
    return -1;
  }
  name.remove_prefix(kPrefix.size());
  int64_t index = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  return error == std::errc{} && end == name.data() + name.size() && index >= 0 ? index : -1;
}

}  // namespace

bool cuda_is_available() {
  static const bool available = [] {
    load_cuda_part();
    return torch::cuda::is_available();
  }();
  return available;
}

torch::Device try_gpu() {
  return cuda_is_available() ? torch::Device(torch::kCUDA, 0) : torch::Device(torch::kCPU);
}

void check_device_name(std::string_view name) {
  if (name != "auto" && name != "cpu" && cuda_index(name) < 0) {
    throw UsageError(formatted("device must be {}, got '{}'", kDeviceNames, name));
  }
}

torch::Device parse_device(std::string_view name) {
  check_device_name(name);
  if (name == "cpu") {
    return torch::kCPU;
  }
  if (name == "auto") {
    return try_gpu();
  }
  const int64_t index = cuda_index(name);
  const auto count = cuda_is_available() ? static_cast<int64_t>(torch::cuda::device_count()) : 0;
  if (index >= count) {
    throw Error(
        formatted("there is no device {}: this machine has {} CUDA device{} that LibTorch can "
                  "use",
                  name, count, count == 1 ? "" : "s"));
  }
  return {torch::kCUDA, static_cast<torch::DeviceIndex>(index)};
}

std::string describe(const torch::Device& device) { return device.str(); }

}  // namespace unroll

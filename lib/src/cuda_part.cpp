#include "cuda_part.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <string_view>

#include "unroll/device.h"

namespace unroll {
namespace {

constexpr const char* kFile = "libunroll_cuda.so";

LoadedCudaPart load() {
  if (!cuda_is_available()) {
    return {.problem = "there is no CUDA device that LibTorch can use"};
  }
  // The program's own RUNPATH leads to it, as the library's link options say.
  void* object = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    return {.problem =
                fmt::format("this build has no CUDA part that can be loaded: {}", dlerror())};
  }
  const auto build = reinterpret_cast<CudaPartBuild>(dlsym(object, kCudaPartBuild));
  const auto part = reinterpret_cast<GetCudaPart>(dlsym(object, kGetCudaPart));
  constexpr std::string_view kOwnBuild = UNROLL_BUILD " " TORCH_VERSION;
  if (build == nullptr || part == nullptr || build() != kOwnBuild) {
    return {.problem = fmt::format("{} was built for {}, this is {}", kFile,
                                   build == nullptr ? "another program" : build(), kOwnBuild)};
  }
  return {.part = part(), .problem = {}};
}

}  // namespace

const LoadedCudaPart& cuda_part() {
  static const auto loaded = load();
  return loaded;
}

const std::string& cuda_part_problem() { return cuda_part().problem; }

}  // namespace unroll

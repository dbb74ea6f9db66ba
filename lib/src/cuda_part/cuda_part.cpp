#include "cuda_part/cuda_part.h"

#include <dlfcn.h>
#include <torch/version.h>

#include <filesystem>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/formatted.h"
#include "cuda_part/kernel_cache.h"
#include "cuda_part/kernel_compiler.h"
#include "unroll/device.h"

namespace unroll {
namespace {

constexpr const char* kFile = "libunroll_cuda.so";

// What on_kernel_notice was given.
struct Notice {
  std::mutex mutex;
  std::function<void(const std::string&)> callback;
};
Notice& notice() {
  static Notice own;
  return own;
}

void notify(const std::string& text) {
  auto& own = notice();
  const std::lock_guard lock(own.mutex);
  if (own.callback) {
    own.callback(text);
  }
}

// Beside the program or library that this is in, or in its folder's neighbour for libraries; else
// where the system and the program's RUNPATH look.
void* open() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&cuda_part), &info) != 0 && info.dli_fname != nullptr) {
    const auto folder = std::filesystem::absolute(info.dli_fname).parent_path();
    for (const auto& path : {folder / kFile, folder / UNROLL_LIBRARY_FOLDER / kFile}) {
      if (std::filesystem::exists(path)) {
        return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
      }
    }
  }
  return dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
}

LoadedCudaPart load() {
  if (!cuda_is_available()) {
    return {.problem = "there is no CUDA device that LibTorch can use"};
  }
  void* object = open();
  if (object == nullptr) {
    return {.problem = formatted("this build has no CUDA part that can be loaded: {}", dlerror())};
  }
  const auto build = reinterpret_cast<CudaPartBuild>(dlsym(object, kCudaPartBuild));
  const auto part = reinterpret_cast<GetCudaPart>(dlsym(object, kGetCudaPart));
  constexpr std::string_view kOwnBuild = UNROLL_BUILD " " TORCH_VERSION;
  if (build == nullptr || part == nullptr || build() != kOwnBuild) {
    return {.problem = formatted("{} was built for {}, this is {}", kFile,
                                 build == nullptr ? "another program" : build(), kOwnBuild)};
  }
  LoadedCudaPart loaded{.part = part()};
  loaded.kernels = std::make_unique<CudaKernels>(
      loaded.part->driver(), caching_compiler(KernelCache(KernelCache::default_folder()), notify),
      notify);
  return loaded;
}

}  // namespace

void on_kernel_notice(std::function<void(const std::string&)> callback) {
  auto& own = notice();
  const std::lock_guard lock(own.mutex);
  own.callback = std::move(callback);
}

const LoadedCudaPart& cuda_part() {
  static const auto loaded = load();
  return loaded;
}

}  // namespace unroll

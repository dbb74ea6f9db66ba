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

// What set_kernel_settings was given.
class SharedSettings {
 public:
  void set(KernelSettings settings) {
    const std::lock_guard lock(mutex_);
    settings_ = std::move(settings);
  }
  KernelSettings get() {
    const std::lock_guard lock(mutex_);
    return settings_;
  }

 private:
  std::mutex mutex_;
  KernelSettings settings_;
};

SharedSettings& shared_settings() {
  static SharedSettings own;
  return own;
}

void notify(const std::string& text) {
  if (const auto settings = shared_settings().get(); settings.notice) {
    settings.notice(text);
  }
}

// Beside the program or library that this is in, or in the folder for libraries beside that, or,
// for a program in libexec/unroll, beside the folder above; else where the system and the program's
// RUNPATH look.
void* open() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&cuda_part), &info) != 0 && info.dli_fname != nullptr) {
    const auto folder = std::filesystem::absolute(info.dli_fname).parent_path();
    const std::filesystem::path libraries = UNROLL_LIBRARY_FOLDER;
    for (const auto& path : {folder / kFile, folder / ".." / libraries / kFile,
                             folder / "../.." / libraries / kFile}) {
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
      loaded.part->driver(), caching_compiler(KernelCache(shared_settings().get().cache), notify),
      notify);
  return loaded;
}

}  // namespace

void set_kernel_settings(KernelSettings settings) { shared_settings().set(std::move(settings)); }

const LoadedCudaPart& cuda_part() {
  static const auto loaded = load();
  return loaded;
}

}  // namespace unroll

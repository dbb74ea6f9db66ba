#include "cuda_part/nvidia_driver.h"

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda.h>
#include <dlfcn.h>

#include "base/formatted.h"

namespace unroll::cuda {
namespace {

// The driver's functions, which LibTorch does not link.
struct Functions {
  decltype(&cuGetErrorString) GetErrorString;
  decltype(&cuCtxGetCurrent) CtxGetCurrent;
  decltype(&cuDeviceGetAttribute) DeviceGetAttribute;
  decltype(&cuModuleLoadData) ModuleLoadData;
  decltype(&cuModuleGetFunction) ModuleGetFunction;
  decltype(&cuFuncSetAttribute) FuncSetAttribute;
  decltype(&cuLaunchKernelEx) LaunchKernelEx;
  decltype(&cuOccupancyMaxActiveClusters) OccupancyMaxActiveClusters;
};

Functions load_functions() {
  void* library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  Functions all{};
  const auto find = [&](const char* name, auto& function) {
    function =
        library == nullptr
            ? nullptr
            : reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) {
      throw Error(formatted("the driver has no {}: it is older than CUDA 12", name));
    }
  };
  find("cuGetErrorString", all.GetErrorString);
  find("cuCtxGetCurrent", all.CtxGetCurrent);
  find("cuDeviceGetAttribute", all.DeviceGetAttribute);
  find("cuModuleLoadData", all.ModuleLoadData);
  find("cuModuleGetFunction", all.ModuleGetFunction);
  find("cuFuncSetAttribute", all.FuncSetAttribute);
  find("cuLaunchKernelEx", all.LaunchKernelEx);
  find("cuOccupancyMaxActiveClusters", all.OccupancyMaxActiveClusters);
  return all;
}

const Functions& driver() {
  static const auto all = load_functions();
  return all;
}

void require(CUresult error, const char* what) {
  if (error != CUDA_SUCCESS) {
    const char* text = nullptr;
    driver().GetErrorString(error, &text);
    throw Error(formatted("a kernel cannot be {}: {}", what, text == nullptr ? "?" : text));
  }
}

// The device is the current one, for the runtime and for the driver, whose context the runtime
// binds to a thread at its first call there.
class OnDevice {
 public:
  explicit OnDevice(torch::Device device) : guard_(device) {
    CUcontext context = nullptr;
    driver().CtxGetCurrent(&context);
    if (context == nullptr) {
      static_cast<void>(cudaFree(nullptr));
    }
  }

 private:
  c10::cuda::CUDAGuard guard_;
};

CUfunction function_of(LoadedKernel kernel) {
  return static_cast<CUfunction>(const_cast<void*>(kernel));
}

// A launch as the driver takes it. It points into itself.
class Configuration {
 public:
  Configuration(const KernelLaunch& launch, CUstream stream) {
    if (launch.cluster > 0) {
      attribute_.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
      attribute_.value.clusterDim = {static_cast<unsigned>(launch.cluster), 1, 1};
    } else {
      attribute_.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
      attribute_.value.cooperative = 1;
    }
    config_.gridDimX = static_cast<unsigned>(launch.blocks);
    config_.gridDimY = 1;
    config_.gridDimZ = 1;
    config_.blockDimX = kThreads;
    config_.blockDimY = 1;
    config_.blockDimZ = 1;
    config_.sharedMemBytes = static_cast<unsigned>(launch.shared_bytes);
    config_.hStream = stream;
    config_.attrs = &attribute_;
    config_.numAttrs = 1;
  }
  Configuration(const Configuration&) = delete;
  Configuration& operator=(const Configuration&) = delete;

  const CUlaunchConfig* get() const { return &config_; }

 private:
  CUlaunchAttribute attribute_{};
  CUlaunchConfig config_{};
};

int attribute_of(torch::Device device, CUdevice_attribute attribute) {
  int value = 0;
  require(driver().DeviceGetAttribute(&value, attribute, device.index()), "planned");
  return value;
}

int shared_bytes_of(torch::Device device) {
  return attribute_of(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
}

}  // namespace

GpuLimits NvidiaDriver::limits(torch::Device device) const {
  const OnDevice current(device);
  return {.capability = 10 * attribute_of(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
                        attribute_of(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
          .multiprocessors = attribute_of(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
          .shared_bytes = shared_bytes_of(device)};
}

LoadedKernel NvidiaDriver::load(const CompiledKernel& kernel, torch::Device device) const {
  const OnDevice current(device);
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  require(driver().ModuleLoadData(&module, kernel.code.c_str()), "loaded");
  require(driver().ModuleGetFunction(&function, module, kernel.name.c_str()), "loaded");
  require(driver().FuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                    shared_bytes_of(device)),
          "loaded");
  return function;
}

int NvidiaDriver::most_clusters(LoadedKernel kernel, const KernelLaunch& launch,
                                torch::Device device) const {
  const OnDevice current(device);
  const Configuration configuration(launch, nullptr);
  int count = 0;
  require(driver().OccupancyMaxActiveClusters(&count, function_of(kernel), configuration.get()),
          "planned");
  return count;
}

void NvidiaDriver::launch(LoadedKernel kernel, const KernelLaunch& launch,
                          std::span<const void* const> parameters, torch::Device device) const {
  const OnDevice current(device);
  const Configuration configuration(launch, c10::cuda::getCurrentCUDAStream(device.index()));
  // The driver copies them, and changes none.
  auto** pointers = const_cast<void**>(parameters.data());
  require(driver().LaunchKernelEx(configuration.get(), function_of(kernel), pointers, nullptr),
          "run");
}

}  // namespace unroll::cuda

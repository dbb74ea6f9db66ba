#include "cuda_part/nvidia_driver.h"

#include <c10/core/Event.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <memory>

#include "base/formatted.h"
#include "cuda_part/function_finder.h"
#include "cuda_part/streams.h"

namespace unroll::cuda {
namespace {

// The driver's functions, which LibTorch does not link.
struct Functions {
  decltype(&cuGetErrorString) get_error_string;
  decltype(&cuCtxGetCurrent) ctx_get_current;
  decltype(&cuCtxGetDevice) ctx_get_device;
  decltype(&cuDeviceGetAttribute) device_get_attribute;
  decltype(&cuModuleLoadData) module_load_data;
  decltype(&cuModuleGetFunction) module_get_function;
  decltype(&cuFuncSetAttribute) func_set_attribute;
  decltype(&cuLaunchKernelEx) launch_kernel_ex;
  decltype(&cuOccupancyMaxActiveClusters) occupancy_max_active_clusters;
};

Functions load_functions() {
  const FunctionFinder find("libcuda.so.1", "the driver, which must be of CUDA 12 or later,", "cu");
  Functions all{};
  find("GetErrorString", all.get_error_string);
  find("CtxGetCurrent", all.ctx_get_current);
  find("CtxGetDevice", all.ctx_get_device);
  find("DeviceGetAttribute", all.device_get_attribute);
  find("ModuleLoadData", all.module_load_data);
  find("ModuleGetFunction", all.module_get_function);
  find("FuncSetAttribute", all.func_set_attribute);
  find("LaunchKernelEx", all.launch_kernel_ex);
  find("OccupancyMaxActiveClusters", all.occupancy_max_active_clusters);
  return all;
}

const Functions& driver() {
  static const auto all = load_functions();
  return all;
}

void require(CUresult error, const char* what) {
  if (error != CUDA_SUCCESS) {
    const char* text = nullptr;
    driver().get_error_string(error, &text);
    throw Error(formatted("a kernel cannot be {}: {}", what, text == nullptr ? "?" : text));
  }
}

// The device is the current one, for the runtime and for the driver, whose context the runtime
// binds to a thread at its first call there.
class OnDevice {
 public:
  explicit OnDevice(torch::Device device) : guard_(device) {
    CUcontext context = nullptr;
    driver().ctx_get_current(&context);
    if (context == nullptr && cudaFree(nullptr) != cudaSuccess) {
      static_cast<void>(cudaGetLastError());  // what follows says it again
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
    } else if (launch.together) {
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
    config_.numAttrs = launch.cluster > 0 || launch.together ? 1 : 0;
  }
  Configuration(const Configuration&) = delete;
  Configuration& operator=(const Configuration&) = delete;

  const CUlaunchConfig* get() const { return &config_; }

 private:
  CUlaunchAttribute attribute_{};
  CUlaunchConfig config_{};
};

// Of the current device.
int attribute_of_device(CUdevice_attribute attribute) {
  CUdevice device = 0;
  int value = 0;
  require(driver().ctx_get_device(&device), "planned for a device");
  require(driver().device_get_attribute(&value, attribute, device), "planned for a device");
  return value;
}

int most_shared_bytes() {
  return attribute_of_device(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
}

}  // namespace

GpuLimits NvidiaDriver::limits(torch::Device device) const {
  const OnDevice current(device);
  return {.capability = 10 * attribute_of_device(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
                        attribute_of_device(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
          .multiprocessors = attribute_of_device(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
          .shared_bytes = most_shared_bytes()};
}

LoadedKernel NvidiaDriver::load(const CompiledKernel& kernel, torch::Device device) const {
  const OnDevice current(device);
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  require(driver().module_load_data(&module, kernel.code.c_str()), "loaded");
  require(driver().module_get_function(&function, module, kernel.name.c_str()), "loaded");
  require(driver().func_set_attribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                      most_shared_bytes()),
          "loaded");
  // Clusters of more than eight blocks: a GPU that has none says so where they are counted.
  static_cast<void>(driver().func_set_attribute(
      function, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1));
  return function;
}

int NvidiaDriver::most_clusters(LoadedKernel kernel, const KernelLaunch& launch,
                                torch::Device device) const {
  const OnDevice current(device);
  const Configuration configuration(launch, nullptr);
  int count = 0;
  require(driver().occupancy_max_active_clusters(&count, function_of(kernel), configuration.get()),
          "planned in clusters");
  return count;
}

void NvidiaDriver::launch(LoadedKernel kernel, const KernelLaunch& launch,
                          std::span<const void* const> parameters, torch::Device device) const {
  const OnDevice current(device);
  const Configuration configuration(launch, c10::cuda::getCurrentCUDAStream(device.index()));
  // The driver copies them, and changes none.
  auto** pointers = const_cast<void**>(parameters.data());
  require(driver().launch_kernel_ex(configuration.get(), function_of(kernel), pointers, nullptr),
          "run");
}

void* NvidiaDriver::stream(torch::Device device) const {
  return c10::cuda::getCurrentCUDAStream(device.index()).stream();
}

std::function<bool()> NvidiaDriver::mark(torch::Device device) const {
  const auto event = std::make_shared<c10::Event>(c10::DeviceType::CUDA);
  event->record(c10::cuda::getCurrentCUDAStream(device.index()));
  return [event] { return event->query(); };
}

std::unique_ptr<SideStream> NvidiaDriver::make_side_stream(torch::Device device) const {
  return std::make_unique<NvidiaSideStream>(device.index());
}

}  // namespace unroll::cuda

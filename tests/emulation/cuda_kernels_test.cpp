// How kernels are made ready for a device, on an emulated one.
#include "cuda_part/cuda_kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <chrono>
#include <future>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "emulation/emulated_driver.h"
#include "emulation/every_kernel.h"
#include "emulation/gpus.h"
#include "emulation/planned_kernels.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr auto kFloat32 = cuda::Operands::kFloat32;

TEST(PlannedKernels, AreAllEmulated) {
  for (const auto& limits : {cuda::kH200, cuda::kA100}) {
    const auto names = cuda::kernels_planned_on(limits);
    EXPECT_GT(names.size(), 100U);
    for (const auto& name : names) {
      EXPECT_TRUE(cuda::every_kernel().contains(name)) << name;
    }
  }
}

// Kernels of an emulated H200, and what was asked of their compiler.
class MakingKernelsReady : public ::testing::Test {
 protected:
  bool serve(const CudaKernels& kernels, CellKind cell = CellKind::kLstm) {
    return kernels.serve(cell, kFloat32, 4, 40, torch::kCPU);
  }

  CompiledKernel compiled(const std::string& name) {
    const std::lock_guard lock(mutex_);
    names_.push_back(name);
    return {.name = name, .code = {}};
  }

  EmulatedDriver driver_{cuda::kH200};
  std::mutex mutex_;
  std::vector<std::string> names_;
};

TEST_F(MakingKernelsReady, EachIsCompiledOnce) {
  const CudaKernels kernels(driver_, [this](const auto& name, int capability) {
    EXPECT_EQ(capability, 90);
    return compiled(name);
  });
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(serve(kernels));
    EXPECT_THAT(names_, UnorderedElementsAre(cuda::kNoWork, HasSubstr("ForwardArguments"),
                                             HasSubstr("BackwardArguments")));
  }
  EXPECT_TRUE(kernels.can_generate(CellKind::kLstm, 4, 40, 28, torch::kCPU));
  EXPECT_EQ(names_.size(), 4U);
  // Other sizes that have the same kernels
  EXPECT_TRUE(kernels.serve(CellKind::kLstm, kFloat32, 3, 41, torch::kCPU));
  EXPECT_EQ(names_.size(), 4U);
  EXPECT_EQ(kernels.problem(torch::kCPU), "");
}

TEST_F(MakingKernelsReady, ForwardAndBackwardAreCompiledSideBySide) {
  std::barrier both(2);
  const CudaKernels kernels(driver_, [&](const auto& name, int) {
    if (name != cuda::kNoWork) {
      both.arrive_and_wait();  // for ever, if one came after the other
    }
    return compiled(name);
  });
  EXPECT_TRUE(serve(kernels));
}

TEST_F(MakingKernelsReady, WhatDoesNotCompileIsNotServedNorTriedAgain) {
  const CudaKernels kernels(driver_, [this](const auto& name, int) {
    const auto kernel = compiled(name);
    if (name.find("BackwardArguments, unroll::CellKind::kLstm") != std::string::npos) {
      throw Error("the compiler says no");
    }
    return kernel;
  });
  EXPECT_FALSE(serve(kernels));
  EXPECT_FALSE(serve(kernels));
  EXPECT_EQ(names_.size(), 3U);
  EXPECT_EQ(kernels.problem(torch::kCPU), "the compiler says no");
  // Others are.
  EXPECT_TRUE(serve(kernels, CellKind::kRnn));
}

TEST_F(MakingKernelsReady, WithoutACompilerNothingIsServed) {
  const CudaKernels kernels(
      driver_, [](const auto&, int) -> CompiledKernel { throw Error("there is no compiler"); });
  EXPECT_EQ(kernels.problem(torch::kCPU), "there is no compiler");
  EXPECT_FALSE(serve(kernels));
  EXPECT_FALSE(kernels.can_generate(CellKind::kLstm, 4, 40, 28, torch::kCPU));
}

TEST_F(MakingKernelsReady, WhatDoesNotLoadIsNotServed) {
  const CudaKernels kernels(driver_, [this](const auto& name, int) {
    return compiled(name == cuda::kNoWork ? name : "unknown");
  });
  EXPECT_FALSE(serve(kernels));
  EXPECT_THAT(kernels.problem(torch::kCPU), HasSubstr("unknown"));
}

TEST_F(MakingKernelsReady, AnOlderGpuHasNone) {
  auto older = cuda::kA100;
  older.capability = 75;
  const EmulatedDriver driver(older);
  const CudaKernels kernels(driver, [this](const auto& name, int) { return compiled(name); });
  EXPECT_FALSE(serve(kernels));
  EXPECT_THAT(kernels.problem(torch::kCPU), HasSubstr("8.0 or later, cpu has 7.5"));
  EXPECT_THAT(names_, IsEmpty());
}

TEST_F(MakingKernelsReady, ItIsSaidOnceWhenItTakesLong) {
  for (const bool takes_long : {false, true}) {
    std::vector<std::string> notices;
    std::promise<void> said;
    const CudaKernels kernels(
        driver_,
        [&](const auto& name, int) {
          if (takes_long && name != cuda::kNoWork && notices.empty()) {
            said.get_future().wait();
          }
          return compiled(name);
        },
        [&](const std::string& text) {
          notices.push_back(text);
          said.set_value();
        },
        takes_long ? std::chrono::milliseconds(0) : std::chrono::hours(1));
    EXPECT_TRUE(kernels.can_generate(CellKind::kLstm, 4, 40, 28, torch::kCPU));
    EXPECT_TRUE(serve(kernels, CellKind::kRnn));
    if (takes_long) {
      EXPECT_THAT(notices, ElementsAre(HasSubstr("compiling")));
    } else {
      EXPECT_THAT(notices, IsEmpty());
    }
  }
}

TEST_F(MakingKernelsReady, WithoutClustersOfSomeSizeTheOthersAndTheGridAreTaken) {
  class FewClusters : public EmulatedDriver {
   public:
    FewClusters() : EmulatedDriver(cuda::kH200) {}
    int most_clusters(LoadedKernel kernel, const KernelLaunch& launch,
                      torch::Device device) const override {
      if (launch.cluster > 2) {
        throw Error("no such cluster");
      }
      return EmulatedDriver::most_clusters(kernel, launch, device);
    }
  };
  const FewClusters driver;
  const CudaKernels kernels(driver, [this](const auto& name, int) { return compiled(name); });
  EXPECT_TRUE(kernels.serve(CellKind::kRnn, kFloat32, 4, 40, torch::kCPU));
  EXPECT_TRUE(kernels.serve(CellKind::kRnn, kFloat32, 4, 256, torch::kCPU));
  EXPECT_THAT(names_, Contains(HasSubstr("cluster_layer")));
  EXPECT_THAT(names_, Contains(HasSubstr("grid_layer")));
  EXPECT_EQ(kernels.problem(torch::kCPU), "");
}

TEST_F(MakingKernelsReady, WhateverFailsIsTheDevicesProblem) {
  const CudaKernels kernels(driver_, [this](const auto& name, int) {
    if (name != cuda::kNoWork) {
      throw std::bad_alloc();
    }
    return compiled(name);
  });
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(serve(kernels));
    EXPECT_EQ(kernels.problem(torch::kCPU), std::bad_alloc().what());
  }
}

TEST_F(MakingKernelsReady, WithoutRoomForItsWeightsALayerHasNone) {
  const CudaKernels kernels(driver_, [this](const auto& name, int) { return compiled(name); });
  EXPECT_FALSE(kernels.serve(CellKind::kLstm, kFloat32, 32, 2048, torch::kCPU));
  EXPECT_EQ(kernels.problem(torch::kCPU), "");
}

}  // namespace
}  // namespace unroll

#include "cuda_part/kernel_compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/formatted.h"
#include "cuda_part/nvrtc.h"
#include "emulation/gpus.h"
#include "emulation/planned_kernels.h"
#include "kernels/cuda/kernel_name.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// At most so many, from all over.
std::vector<std::string> some_of(const std::set<std::string>& names, std::size_t most) {
  std::vector<std::string> some;
  std::size_t i = 0;
  for (const auto& name : names) {
    if (i++ * most / names.size() >= some.size()) {
      some.push_back(name);
    }
  }
  return some;
}

// A kernel for a GPU, and what the assembler says of it.
struct Assembled {
  int spilled = -1;  // bytes that found no room in registers
  int registers = -1;
  std::string target;
  std::string name;

  auto operator<=>(const Assembled&) const = default;
};

// The number in what the assembler says, as in "([0-9]+) registers"; -1 without one.
int number_in(const std::string& report, const char* pattern) {
  std::smatch match;
  return std::regex_search(report, match, std::regex(pattern)) ? std::stoi(match[1]) : -1;
}

// All of these, by as many threads as there are cores, those with the most spills first.
std::vector<Assembled> assembled(const Nvrtc& nvrtc, std::vector<Assembled> kernels) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < kernels.size(); i = next++) {
      auto& kernel = kernels[i];
      std::string report;
      nvrtc.compile(kernel.name, kernel.target, &report);
      kernel.spilled = number_in(report, "([0-9]+) bytes spill stores");
      kernel.registers = number_in(report, "Used ([0-9]+) registers");
    }
  };
  std::vector<std::future<void>> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    threads.push_back(std::async(std::launch::async, work));
  }
  for (auto& thread : threads) {
    thread.get();
  }
  std::sort(kernels.rbegin(), kernels.rend());
  return kernels;
}

class KernelsByNvrtc : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      nvrtc_.emplace();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }

  std::optional<Nvrtc> nvrtc_;
};

TEST_F(KernelsByNvrtc, AreForTheGpuAtHandOrTheLastOneKnown) {
  EXPECT_EQ(nvrtc_->target(80), "sm_80");
  EXPECT_EQ(nvrtc_->target(90), "sm_90");
  EXPECT_THAT(nvrtc_->target(991), ::testing::StartsWith("compute_"));
  EXPECT_NE(nvrtc_->target(991), "compute_0");
  const auto ptx = nvrtc_->compile(cuda::kNoWork, nvrtc_->target(991));
  EXPECT_THAT(ptx.code, AllOf(HasSubstr(".version"), HasSubstr(ptx.name)));
}

// A dozen of the layers', and the others; with UNROLL_ALL_KERNELS all of the first GPUs that have
// kernels, and clusters. Later ones differ in their assembler alone.
TEST_F(KernelsByNvrtc, NeedNoMoreRegistersThanTheirThreadsHave) {
  // Mostly where blocks load their weights.
  constexpr int kMostSpilled = 72;
  constexpr int kMostRegisters =
      65536 / cuda::kThreads;  // of a multiprocessor's, if a block is alone
  const bool all = std::getenv("UNROLL_ALL_KERNELS") != nullptr;
  std::vector<Assembled> kernels;
  for (const int capability : {80, 90, 100, 120}) {
    if (nvrtc_->target(capability) != formatted("sm_{}", capability)) {
      EXPECT_GT(capability, 90);  // which an older NVRTC does not know
      continue;
    }
    const auto names = cuda::kernels_planned_on(
        capability >= cuda::kFirstWithClusters ? cuda::kH200 : cuda::kA100);
    for (const auto& name : some_of(names, all && capability <= 90 ? names.size() : 3)) {
      kernels.push_back({.target = formatted("sm_{}", capability), .name = name});
    }
    for (const auto& name : cuda::kernels_without_plan()) {
      kernels.push_back({.target = formatted("sm_{}", capability), .name = name});
    }
  }
  kernels = assembled(*nvrtc_, kernels);
  for (const auto& kernel : kernels) {
    SCOPED_TRACE(formatted("{} for {}", kernel.name, kernel.target));
    EXPECT_GE(kernel.spilled, 0);
    EXPECT_LE(kernel.spilled, kMostSpilled);
    EXPECT_GT(kernel.registers, 0);
    EXPECT_LE(kernel.registers, kMostRegisters);
  }
  std::printf("%zu kernels by NVRTC %s; those that need most:\n", kernels.size(),
              nvrtc_->version().c_str());
  for (std::size_t i = 0; i < 5; ++i) {
    std::printf("  %d registers, %d bytes spilled: %s, %s\n", kernels[i].registers,
                kernels[i].spilled, kernels[i].target.c_str(), kernels[i].name.c_str());
  }
}

TEST_F(KernelsByNvrtc, WhatDoesNotCompileIsAnErrorInOneLine) {
  const auto message = thrown<Error>([&] { nvrtc_->compile("unroll::cuda::nothing<1>", "sm_90"); });
  EXPECT_THAT(message, AllOf(HasSubstr("unroll::cuda::nothing<1>"), HasSubstr("sm_90")));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

class CachedKernels : public KernelsByNvrtc {
 protected:
  CompileKernel compiler() {
    return caching_compiler(KernelCache(folder_),
                            [this](const std::string& text) { notices_.push_back(text); });
  }
  std::vector<std::filesystem::path> files() const {
    if (!std::filesystem::exists(folder_)) {
      return {};
    }
    return {std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator()};
  }

  TempFolder temp_;
  std::filesystem::path folder_ = temp_ / "kernels";
  std::vector<std::string> notices_;
};

TEST_F(CachedKernels, AreCompiledOnce) {
  const auto first = compiler()(cuda::kNoWork, 90);
  ASSERT_EQ(files().size(), 1U);
  // What is in the file is what is taken
  KernelCache(folder_).keep(files().front().filename(), {.name = first.name, .code = "kept"});
  EXPECT_EQ(compiler()(cuda::kNoWork, 90).code, "kept");
  EXPECT_NE(compiler()(cuda::kNoWork, 80).code, "kept");  // of another GPU
  EXPECT_EQ(files().size(), 2U);
  EXPECT_THAT(notices_, IsEmpty());
}

TEST_F(CachedKernels, ThatAreDamagedAreCompiledAnewAndReplaced) {
  const auto first = compiler()(cuda::kNoWork, 90);
  std::ofstream(files().front(), std::ios::binary | std::ios::app) << "more";
  EXPECT_EQ(compiler()(cuda::kNoWork, 90).code, first.code);
  EXPECT_THAT(notices_, ElementsAre(HasSubstr("damaged")));
  EXPECT_EQ(compiler()(cuda::kNoWork, 90).code, first.code);
  EXPECT_EQ(notices_.size(), 1U);
}

TEST_F(CachedKernels, InAFolderOfOthersAreNeitherReadNorKept) {
  std::filesystem::create_directory(folder_);
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  const auto compile = compiler();
  EXPECT_EQ(compile(cuda::kNoWork, 90).code, compile(cuda::kNoWork, 90).code);
  EXPECT_THAT(notices_, ElementsAre(AllOf(HasSubstr("compiled anew"), HasSubstr("you alone"))));
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(CachedKernels, ThatCannotBeKeptAreCompiledAllTheSame) {
  temp_.write("kernels", "a file");
  EXPECT_FALSE(compiler()(cuda::kNoWork, 90).code.empty());
  EXPECT_THAT(notices_, ElementsAre(HasSubstr(folder_.string())));
}

}  // namespace
}  // namespace unroll

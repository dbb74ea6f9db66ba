// The functions that are declared by hand, of the library itself. It needs no GPU to say what its
// errors are.
#include "cuda_part/nccl.h"

#include <c10/core/DeviceType.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace unroll {
namespace {

using ::testing::HasSubstr;

// Loads what a wheel of LibTorch has beside it, as its CUDA part would where a GPU is.
bool load_neighbour() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&c10::DeviceTypeName), &info) == 0) {
    return false;
  }
  const auto folder = std::filesystem::absolute(info.dli_fname).parent_path();
  const auto path = folder / "../../nvidia/nccl/lib/libnccl.so.2";
  return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr;
}

TEST(Nccl, HasTheseFunctionsAndNumbers) {
  if (!load_neighbour()) {
    GTEST_SKIP() << "LibTorch has no NCCL beside it";
  }
  const auto& nccl = Nccl::loaded();
  EXPECT_THAT(nccl.get_error_string(Nccl::kSuccess), HasSubstr("no error"));
  EXPECT_THAT(nccl.get_error_string(Nccl::kRemoteError), HasSubstr("remote process"));
  EXPECT_THAT(nccl.get_error_string(Nccl::kInProgress), HasSubstr("in progress"));
  EXPECT_NE(nccl.get_last_error(nullptr), nullptr);
}

}  // namespace
}  // namespace unroll

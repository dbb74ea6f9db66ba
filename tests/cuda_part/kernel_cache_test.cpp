#include "cuda_part/kernel_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const CompiledKernel kKernel{.name = "_ZN6kernelE", .code = std::string("\0code\n\n\x7f", 8)};

class KernelCacheFolder : public ::testing::Test {
 protected:
  void expect_kept(const std::string& key, const CompiledKernel& kernel) const {
    const auto found = cache_.find(key);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->name, kernel.name);
    EXPECT_EQ(found->code, kernel.code);
  }

  TempFolder temp_;
  std::filesystem::path folder_ = temp_ / "some/kernels";
  KernelCache cache_{folder_};
};

TEST_F(KernelCacheFolder, GivesWhatWasKept) {
  EXPECT_FALSE(cache_.find("a"));
  cache_.keep("a", kKernel);
  expect_kept("a", kKernel);
  EXPECT_FALSE(cache_.find("b"));
  const CompiledKernel other{.name = "other", .code = "x"};
  cache_.keep("a", other);
  expect_kept("a", other);
}

TEST_F(KernelCacheFolder, IsTheUsersAlone) {
  cache_.keep("a", kKernel);
  EXPECT_EQ(std::filesystem::status(folder_).permissions(), std::filesystem::perms::owner_all);
  for (const auto others :
       {std::filesystem::perms::group_write, std::filesystem::perms::others_write}) {
    std::filesystem::permissions(folder_, std::filesystem::perms::owner_all | others);
    const auto named = AllOf(HasSubstr(folder_.string()), HasSubstr("you alone can write"));
    EXPECT_THAT(thrown<Error>([&] { cache_.find("a"); }), named);
    EXPECT_THAT(thrown<Error>([&] { cache_.keep("b", kKernel); }), named);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "b"));
  }
}

TEST_F(KernelCacheFolder, OfAnotherUserIsNotRead) {
  cache_.keep("a", kKernel);
  constexpr uid_t kNobody = 65534;
  if (chown(folder_.c_str(), kNobody, kNobody) != 0) {
    GTEST_SKIP() << "only root can give a folder away";
  }
  EXPECT_THAT(thrown<Error>([&] { cache_.find("a"); }), HasSubstr("you alone can write"));
}

TEST_F(KernelCacheFolder, OnlyFilesOfTheUserAreRead) {
  cache_.keep("a", kKernel);
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_FALSE(cache_.find("pipe"));  // does not wait for a writer
  std::filesystem::create_directory(folder_ / "folder");
  EXPECT_FALSE(cache_.find("folder"));
  constexpr uid_t kNobody = 65534;
  if (chown((folder_ / "a").c_str(), kNobody, kNobody) == 0) {
    EXPECT_FALSE(cache_.find("a"));
  }
}

TEST_F(KernelCacheFolder, DamagedFilesAreErrors) {
  cache_.keep("a", kKernel);
  const auto bytes = content_of(folder_ / "a");
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    temp_.write("some/kernels/a", damaged);
    EXPECT_THAT(thrown<Error>([&] { cache_.find("a"); }),
                AllOf(HasSubstr((folder_ / "a").string()), HasSubstr("damaged")));
    temp_.write("some/kernels/a", bytes.substr(0, i));
    thrown<Error>([&] { cache_.find("a"); });
  }
  temp_.write("some/kernels/a", bytes);
  expect_kept("a", kKernel);
}

TEST_F(KernelCacheFolder, DoesNotFollowLinks) {
  cache_.keep("a", kKernel);
  std::filesystem::create_symlink(folder_ / "a", folder_ / "b");
  EXPECT_FALSE(cache_.find("b"));
}

TEST_F(KernelCacheFolder, ThatCannotBeMadeIsAnError) {
  temp_.write("file", "");
  const KernelCache cache(temp_ / "file/kernels");
  EXPECT_FALSE(cache.find("a"));
  EXPECT_THAT(thrown<Error>([&] { cache.keep("a", kKernel); }), HasSubstr("file/kernels"));
}

TEST_F(KernelCacheFolder, EmptyKeepsNothing) {
  const KernelCache cache{std::filesystem::path()};
  cache.keep("a", kKernel);
  EXPECT_FALSE(cache.find("a"));
}

// Whoever reads while others write finds a whole file, of one or the other.
TEST_F(KernelCacheFolder, ServesSeveralProcessesAtOnce) {
  const auto kernel_of = [](int process) {
    return CompiledKernel{.name = "kernel",
                          .code = std::string(100'000, static_cast<char>('a' + process))};
  };
  cache_.keep("a", kernel_of(0));
  constexpr int kProcesses = 4;
  pid_t children[kProcesses];
  for (int process = 0; process < kProcesses; ++process) {
    children[process] = fork();
    if (children[process] == 0) {
      int code = 0;
      try {
        for (int i = 0; i < 20; ++i) {
          cache_.keep("a", kernel_of(process));
          const auto found = cache_.find("a");
          if (!found || found->code != std::string(100'000, found->code.front())) {
            code = 1;
          }
        }
      } catch (const Error&) {
        code = 2;
      }
      _exit(code);
    }
  }
  for (const auto child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

}  // namespace
}  // namespace unroll

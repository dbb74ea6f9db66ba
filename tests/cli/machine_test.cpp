#include "cli/machine.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace unroll::app {
namespace {

// Sets a variable of the environment, or takes it away, for as long as this lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name); before != nullptr) {
      before_ = before;
    }
    set(value);
  }
  ~Variable() { set(before_ ? before_->c_str() : nullptr); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const char* value) const {
    value == nullptr ? unsetenv(name_) : setenv(name_, value, 1);
  }

  const char* name_;
  std::optional<std::string> before_;
};

TEST(KernelCachePath, IsInTheUsersCacheFolder) {
  const Variable home("HOME", "/home/me");
  const Variable own("UNROLL_CACHE", nullptr);
  const Variable caches("XDG_CACHE_HOME", nullptr);
  EXPECT_EQ(kernel_cache(), "/home/me/.cache/unroll/kernels");
  {
    const Variable relative("XDG_CACHE_HOME", "caches");
    EXPECT_EQ(kernel_cache(), "/home/me/.cache/unroll/kernels");
    const Variable absolute("XDG_CACHE_HOME", "/caches");
    EXPECT_EQ(kernel_cache(), "/caches/unroll/kernels");
    const Variable named("UNROLL_CACHE", "/mine");
    EXPECT_EQ(kernel_cache(), "/mine/kernels");
    const Variable none("UNROLL_CACHE", "");
    EXPECT_EQ(kernel_cache(), "");
  }
  const Variable homeless("HOME", nullptr);
  EXPECT_EQ(kernel_cache(), "");
}

}  // namespace
}  // namespace unroll::app

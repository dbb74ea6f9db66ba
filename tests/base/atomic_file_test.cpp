#include "base/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

TEST(CheckWritable, LeavesNothingBehind) {
  const TempFolder folder;
  check_writable(folder / "model.safetensors");
  EXPECT_EQ(folder.size(), 0);
  const auto old = folder.write("old.safetensors", "old");
  check_writable(old);
  EXPECT_EQ(content_of(old), "old");
  EXPECT_EQ(folder.size(), 1);
  EXPECT_THAT(thrown<Error>([&] { check_writable(folder / "no/file"); }), HasSubstr("no/file"));
  thrown<Error>([&] { check_writable(folder.path()); });
}

}  // namespace
}  // namespace unroll

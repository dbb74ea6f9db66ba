#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

TEST(Precision, NamesAreReadAsTheyAreWritten) {
  for (const auto precision : {Precision::kFp32, Precision::kBf16x3, Precision::kBf16}) {
    EXPECT_EQ(parse_precision(to_string(precision)), precision);
  }
  EXPECT_EQ(thrown<UsageError>([] { parse_precision("fp16"); }),
            "precision must be fp32, bf16x3 or bf16, got 'fp16'");
}

TEST(Precision, WhatTheCpuLacksIsNamed) {
  EXPECT_TRUE(is_supported(Precision::kFp32));
  EXPECT_NO_THROW(require_supported(Precision::kFp32));
  EXPECT_EQ(is_supported(Precision::kBf16), is_supported(Precision::kBf16x3));
  if (is_supported(Precision::kBf16)) {
    EXPECT_NO_THROW(require_supported(Precision::kBf16x3));
  } else {
    EXPECT_EQ(thrown<Error>([] { require_supported(Precision::kBf16x3); }),
              "precision bf16x3 needs a CPU with AMX (amx_tile, amx_bf16, avx512_bf16) that the "
              "system lets programs use; choose fp32");
  }
}

TEST(Precision, ACpuThatTheSystemSaysHasAmxIsFound) {
  std::ifstream file("/proc/cpuinfo");
  const std::string cpuinfo{std::istreambuf_iterator<char>(file), {}};
  bool listed = true;
  for (const char* flag : {" amx_tile", " amx_bf16", " avx512_bf16"}) {
    listed = listed && cpuinfo.find(flag) != std::string::npos;
  }
  EXPECT_EQ(is_supported(Precision::kBf16), listed);
}

}  // namespace
}  // namespace unroll

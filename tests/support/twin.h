#pragma once

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdint>

#include "unroll/ranks.h"

namespace unroll {

/// One of two ranks, whose other one has the same rows.
class Twin : public Ranks {
 public:
  int64_t world() const override { return 2; }
  Wait start_all_reduce(const torch::Tensor& values) override {
    if (++started == lost_at) {
      throw RankLost("the other one is gone");
    }
    return [values, sent = values.clone()] {
      EXPECT_TRUE(values.equal(sent)) << "written while it travels";
      values.copy_(2 * sent);
    };
  }

  int64_t started = 0;
  int64_t lost_at = 0;
};

}  // namespace unroll

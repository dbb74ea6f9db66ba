#include "base/plot_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

TEST(CheckPlotPath, PlotsMustEndInSvgOrPng) {
  EXPECT_NO_THROW(check_plot_path("a.svg"));
  EXPECT_NO_THROW(check_plot_path("a/b.c.png"));
  for (const char* path : {"plot.pdf", "plot", "svg", "plot.svg.gz"}) {
    EXPECT_THAT(thrown<UsageError>([&] { check_plot_path(path); }), ::testing::HasSubstr(path));
  }
}

}  // namespace
}  // namespace unroll

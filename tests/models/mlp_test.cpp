#include <gtest/gtest.h>

#include "support/cell_checks.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

TEST(MlpScratch, ParametersAreTheRnnsWithoutW_hh) {
  EXPECT_EQ(names_of(get_mlp_params(3, 2, torch::kCPU)),
            (std::vector<std::string>{"W_xh", "b_h", "W_hq", "b_q"}));
  expect_drawn_as_the_notebook_does(get_mlp_params);
}

TEST(MlpScratch, RemembersNothing) {
  EXPECT_TRUE(init_mlp_state(2, 3, torch::kCPU).empty());
  const auto params = get_mlp_params(3, 2, torch::kCPU);
  const auto inputs = torch::rand({4, 2, 3});
  const auto [outputs, state] = mlp(inputs, {}, params);
  EXPECT_TRUE(state.empty());
  // The last step's outputs do not depend on the steps before.
  EXPECT_TRUE(
      all_close(outputs.narrow(0, 6, 2), mlp(inputs.narrow(0, 3, 1), {}, params).first, 1e-7));
}

TEST(MlpScratch, GradientsMatchFiniteDifferences) {
  expect_gradients_match_finite_differences(get_mlp_params, init_mlp_state, mlp);
}

}  // namespace
}  // namespace unroll

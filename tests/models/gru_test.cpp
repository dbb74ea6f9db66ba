#include <gtest/gtest.h>

#include "support/cell_checks.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

TEST(GruScratch, ParametersAreDrawnInTheNotebooksOrder) {
  EXPECT_EQ(names_of(get_gru_params(3, 2, torch::kCPU)),
            (std::vector<std::string>{"W_xz", "W_hz", "b_z", "W_xr", "W_hr", "b_r", "W_xh", "W_hh",
                                      "b_h", "W_hq", "b_q"}));
  expect_drawn_as_the_notebook_does(get_gru_params);
  expect_drawn_as_the_notebook_does(get_gru_reset_after_params);
}

TEST(GruScratch, ResetBeforeEqualsTheNotebook) { expect_golden_values("gru", get_gru_params, gru); }

TEST(GruScratch, ResetAfterEqualsPyTorch) {
  expect_golden_values("gru_after", get_gru_reset_after_params, gru_reset_after);
}

TEST(GruScratch, ResetBeforeGradientsMatchFiniteDifferences) {
  expect_gradients_match_finite_differences(get_gru_params, init_gru_state, gru);
}

TEST(GruScratch, ResetAfterGradientsMatchFiniteDifferences) {
  expect_gradients_match_finite_differences(get_gru_reset_after_params, init_gru_state,
                                            gru_reset_after);
}

TEST(GruScratch, ParametersOfTheOtherFormAreRefused) {
  const auto inputs = torch::rand({2, 1, 3});
  const auto state = init_gru_state(1, 2, torch::kCPU);
  thrown<Error>([&] { gru(inputs, state, get_gru_reset_after_params(3, 2, torch::kCPU)); });
  thrown<Error>([&] { gru_reset_after(inputs, state, get_gru_params(3, 2, torch::kCPU)); });
}

}  // namespace
}  // namespace unroll

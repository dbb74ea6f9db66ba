#include <gtest/gtest.h>

#include "support/cell_checks.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

TEST(LstmScratch, ParametersAreDrawnInTheNotebooksOrder) {
  EXPECT_EQ(names_of(get_lstm_params(3, 2, torch::kCPU)),
            (std::vector<std::string>{"W_xi", "W_hi", "b_i", "W_xf", "W_hf", "b_f", "W_xo", "W_ho",
                                      "b_o", "W_xc", "W_hc", "b_c", "W_hq", "b_q"}));
  expect_drawn_as_the_notebook_does(get_lstm_params);
}

TEST(LstmScratch, StateIsTwoTensorsOfZeros) {
  const auto state = init_lstm_state(2, 5, torch::kCPU);
  ASSERT_EQ(state.size(), 2U);
  EXPECT_TRUE(torch::equal(state[0], torch::zeros({2, 5})));
  EXPECT_TRUE(torch::equal(state[1], torch::zeros({2, 5})));
  EXPECT_FALSE(state[0].is_alias_of(state[1]));
}

TEST(LstmScratch, EqualsPyTorch) { expect_golden_values("lstm", get_lstm_params, lstm); }

TEST(LstmScratch, GradientsMatchFiniteDifferences) {
  expect_gradients_match_finite_differences(get_lstm_params, init_lstm_state, lstm);
}

}  // namespace
}  // namespace unroll

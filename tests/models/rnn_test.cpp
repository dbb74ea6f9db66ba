#include <gtest/gtest.h>

#include "support/cell_checks.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

TEST(RnnScratch, ParametersAreDrawnInTheNotebooksOrder) {
  EXPECT_EQ(names_of(get_params(3, 2, torch::kCPU)),
            (std::vector<std::string>{"W_xh", "W_hh", "b_h", "W_hq", "b_q"}));
  expect_drawn_as_the_notebook_does(get_params);
}

TEST(RnnScratch, StateIsOneTensorOfZeros) {
  const auto state = init_rnn_state(2, 5, torch::kCPU);
  ASSERT_EQ(state.size(), 1U);
  EXPECT_TRUE(torch::equal(state[0], torch::zeros({2, 5})));
}

TEST(RnnScratch, OneStepIsTheFormula) {
  at::manual_seed(0);
  const auto params = get_params(3, 2, torch::kCPU);
  const auto X = torch::rand({1, 4, 3});
  const auto H = torch::rand({4, 2});
  const auto [outputs, state] = rnn(X, {H}, params);
  const auto expected =
      torch::tanh(X[0].mm(tensor_named(params, "W_xh")) + H.mm(tensor_named(params, "W_hh")) +
                  tensor_named(params, "b_h"));
  EXPECT_TRUE(all_close(state[0], expected, 1e-6));
  EXPECT_TRUE(all_close(
      outputs, expected.mm(tensor_named(params, "W_hq")) + tensor_named(params, "b_q"), 1e-6));
}

TEST(RnnScratch, OneStepWithReluIsTheFormula) {
  at::manual_seed(0);
  auto params = get_params(3, 2, torch::kCPU);
  for (auto& [name, tensor] : params) {
    tensor = torch::randn(tensor.sizes());
  }
  const auto X = torch::rand({1, 4, 3});
  const auto H = torch::rand({4, 2});
  const auto [outputs, state] = rnn_relu(X, {H}, params);
  const auto sum = X[0].mm(tensor_named(params, "W_xh")) + H.mm(tensor_named(params, "W_hh")) +
                   tensor_named(params, "b_h");
  const auto expected = torch::where(sum > 0, sum, torch::zeros_like(sum));
  ASSERT_TRUE((sum > 0).any().item<bool>() && (sum < 0).any().item<bool>());
  EXPECT_TRUE(all_close(state[0], expected, 1e-6));
  EXPECT_TRUE(all_close(
      outputs, expected.mm(tensor_named(params, "W_hq")) + tensor_named(params, "b_q"), 1e-6));
}

TEST(RnnScratch, EqualsPyTorch) { expect_golden_values("rnn", get_params, rnn); }

TEST(RnnScratch, GradientsMatchFiniteDifferences) {
  expect_gradients_match_finite_differences(get_params, init_rnn_state, rnn);
}

TEST(RnnScratch, WithReluEqualsPyTorch) { expect_golden_values("rnn_relu", get_params, rnn_relu); }

TEST(RnnScratch, WithReluGradientsMatchFiniteDifferences) {
  expect_gradients_match_finite_differences(get_params, init_rnn_state, rnn_relu);
}

}  // namespace
}  // namespace unroll

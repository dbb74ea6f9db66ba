#pragma once

#include <gtest/gtest.h>
#include <torch/types.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/all_close.h"
#include "unroll/model.h"
#include "unroll/scratch.h"

namespace unroll {

/// A file of golden/, its keys in order.
inline nlohmann::ordered_json golden(const std::string& file) {
  std::ifstream stream(std::string(UNROLL_GOLDEN_DIR) + "/" + file);
  return nlohmann::ordered_json::parse(stream);
}

/// A tensor of golden/cells.json, float64.
inline torch::Tensor golden_tensor(const nlohmann::ordered_json& json) {
  return torch::tensor(json.at("data").get<std::vector<double>>(), torch::kFloat64)
      .reshape(json.at("shape").get<std::vector<int64_t>>());
}

inline std::vector<std::string> names_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    names.push_back(name);
  }
  return names;
}

/// Holds a scratch cell in float64 to what Python's torch computed: logits, final state, loss and
/// every gradient; and its parameters to the names, order and shapes there.
inline void expect_golden_values(const std::string& cell, const GetParams& get_params,
                                 const ForwardFn& forward_fn) {
  constexpr double kTolerance = 1e-10;
  const auto all = golden("cells.json");
  const auto& expected = all.at("cells").at(cell);
  const auto V = all.at("V").get<int64_t>();
  const auto H = all.at("H").get<int64_t>();

  NamedTensors weights;
  for (const auto& [name, value] : expected.at("weights").items()) {
    weights.push_back({name, golden_tensor(value).requires_grad_()});
  }
  State state;
  for (const auto& value : expected.at("state")) {
    state.push_back(golden_tensor(value).requires_grad_());
  }
  const auto drawn = get_params(V, H, torch::kCPU);
  ASSERT_EQ(names_of(drawn), names_of(weights));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(drawn[i].tensor.sizes(), weights[i].tensor.sizes()) << weights[i].name;
  }

  RNNModelScratch net(
      V, H, torch::kCPU, [&](auto...) { return weights; }, [&](auto...) { return state; },
      forward_fn);
  const auto tokens = [&](const char* key) {
    std::vector<int64_t> flat;
    for (const auto& row : expected.at(key)) {
      for (const auto& token : row) {
        flat.push_back(token.get<int64_t>());
      }
    }
    return torch::tensor(flat).reshape({all.at("B").get<int64_t>(), all.at("T").get<int64_t>()});
  };
  const Batch batch{tokens("X"), tokens("Y")};
  const auto logits = net.forward(batch.X, state).first;
  EXPECT_TRUE(all_close(logits, golden_tensor(expected.at("logits")), kTolerance));

  const auto [loss, final_state] = net.loss(batch, state);
  EXPECT_NEAR(loss.item<double>(), expected.at("loss").get<double>(), kTolerance);
  ASSERT_EQ(final_state.size(), expected.at("final_state").size());
  for (std::size_t i = 0; i < final_state.size(); ++i) {
    EXPECT_TRUE(
        all_close(final_state[i], golden_tensor(expected.at("final_state")[i]), kTolerance));
  }
  loss.backward();
  for (const auto& [name, weight] : weights) {
    EXPECT_TRUE(all_close(weight.grad(), golden_tensor(expected.at("grads").at(name)), kTolerance))
        << name;
  }
  for (std::size_t i = 0; i < state.size(); ++i) {
    EXPECT_TRUE(
        all_close(state[i].grad(), golden_tensor(expected.at("state_grads")[i]), kTolerance));
  }
}

/// Holds every gradient of a scratch cell in float64 to central differences of its loss.
inline void expect_gradients_match_finite_differences(const GetParams& get_params,
                                                      const InitState& init_state,
                                                      const ForwardFn& forward_fn) {
  constexpr int64_t V = 4, H = 3, B = 2, T = 3;
  constexpr double kStep = 1e-5;
  at::manual_seed(1);
  auto params = get_params(V, H, torch::kCPU);
  for (auto& [name, tensor] : params) {
    tensor = (torch::randn(tensor.sizes(), torch::kFloat64) * 0.5).requires_grad_();
  }
  auto start = init_state(B, H, torch::kCPU);
  for (auto& s : start) {
    s = torch::randn(s.sizes(), torch::kFloat64);
  }
  RNNModelScratch net(
      V, H, torch::kCPU, [&](auto...) { return params; }, init_state, forward_fn);
  const Batch batch{torch::randint(V, {B, T}, torch::kInt64),
                    torch::randint(V, {B, T}, torch::kInt64)};
  net.loss(batch, start).first.backward();

  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : params) {
    auto* values = tensor.data_ptr<double>();
    const auto loss_at = [&](int64_t i, double value) {
      values[i] = value;
      return net.loss(batch, start).first.item<double>();
    };
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      const double value = values[i];
      const double above = loss_at(i, value + kStep);
      const double below = loss_at(i, value - kStep);
      values[i] = value;
      EXPECT_NEAR(tensor.grad().flatten()[i].item<double>(), (above - below) / (2 * kStep), 1e-8)
          << name << " element " << i;
    }
  }
}

/// Parameters are drawn N(0,1) * 0.01 with zero biases, and learn.
inline void expect_drawn_as_the_notebook_does(const GetParams& get_params) {
  at::manual_seed(0);
  const auto params = get_params(28, 256, torch::kCPU);
  at::manual_seed(0);
  for (const auto& [name, tensor] : params) {
    EXPECT_TRUE(tensor.requires_grad()) << name;
    EXPECT_TRUE(tensor.is_leaf()) << name;
    const auto expected =
        name.starts_with("b_") ? torch::zeros(tensor.sizes()) : torch::randn(tensor.sizes()) * 0.01;
    EXPECT_TRUE(torch::equal(tensor, expected)) << name;
  }
}

}  // namespace unroll

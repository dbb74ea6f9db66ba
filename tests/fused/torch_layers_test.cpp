// Models computed by torch::nn's layers, on the CPU, against the same models computed plain.
#include "fused/torch_layers.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>
#include <utility>
#include <vector>

#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Those that torch::nn has too, of several layers as well.
std::vector<TestModel> models_with_torch_form() {
  auto models = plain_recurrent_models(20);
  std::erase_if(models,
                [](const auto& model) { return !table_of(layout_of(model).cell).has_torch_form; });
  for (const auto cell : {Cell::kRnn, Cell::kGru, Cell::kLstm}) {
    models.push_back(plain(ModelKind::kConcise, cell, 12));
    models.back().layers = 3;
  }
  return models;
}

class TorchLayersOfEachModel : public ::testing::TestWithParam<TestModel> {
 protected:
  static constexpr int64_t V = 9, B = 5, T = 4;

  void SetUp() override {
    at::manual_seed(0);
    net = make_model(GetParam(), V, torch::kCPU);
    const torch::NoGradGuard no_grad;
    for (const auto& [name, weight] : net->weights()) {
      weight.copy_(torch::randn_like(weight) * 0.3);  // biases too
    }
    for (auto& s : net->begin_state(B)) {
      state.push_back(torch::randn_like(s).mul_(0.5).requires_grad_());
    }
    X = torch::randint(V, {B, T}, torch::kInt64);
    by_logits = torch::randn({T * B, V});
  }

  std::pair<torch::Tensor, State> by_layers(Precision precision) {
    return run_by_torch_layers(layout_of(GetParam()), values(net->weights()), X, state,
                               /*dropout=*/0, precision);
  }

  std::vector<torch::Tensor> gradients(const std::pair<torch::Tensor, State>& result) {
    auto objective = (result.first * by_logits).sum();
    for (const auto& s : result.second) {
      objective = objective + (s * s).sum();
    }
    auto inputs = values(net->weights());
    inputs.insert(inputs.end(), state.begin(), state.end());
    return torch::autograd::grad({objective}, inputs);
  }

  std::unique_ptr<SequenceModel> net;
  State state;
  torch::Tensor X, by_logits;
};

TEST_P(TorchLayersOfEachModel, LogitsStatesAndGradientsAreTheModels) {
  const auto expected = net->forward(X, state);
  const auto actual = by_layers(Precision::kFp32);
  EXPECT_TRUE(all_close(actual.first, expected.first, 1e-5));
  ASSERT_EQ(actual.second.size(), expected.second.size());
  for (std::size_t i = 0; i < expected.second.size(); ++i) {
    EXPECT_TRUE(all_close(actual.second[i], expected.second[i], 1e-5));
  }
  const auto expected_gradients = gradients(expected);
  const auto actual_gradients = gradients(actual);
  for (std::size_t i = 0; i < expected_gradients.size(); ++i) {
    EXPECT_TRUE(all_close(actual_gradients[i], expected_gradients[i], 2e-5)) << i;
  }
}

TEST_P(TorchLayersOfEachModel, InBf16TheyAreNearlyTheModels) {
  const auto difference = [](const torch::Tensor& actual, const torch::Tensor& precise) {
    return ((actual - precise).norm() / precise.norm()).item<double>();
  };
  const auto expected = net->forward(X, state);
  const auto actual = by_layers(Precision::kBf16);
  EXPECT_EQ(actual.first.scalar_type(), torch::kFloat32);
  EXPECT_LT(difference(actual.first, expected.first), 2e-2);
  EXPECT_GT(difference(actual.first, expected.first), 1e-5);
  for (const auto& s : actual.second) {
    EXPECT_EQ(s.scalar_type(), torch::kFloat32);
  }
  const auto expected_gradients = gradients(expected);
  const auto actual_gradients = gradients(actual);
  for (std::size_t i = 0; i < expected_gradients.size(); ++i) {
    EXPECT_EQ(actual_gradients[i].scalar_type(), torch::kFloat32);
    EXPECT_LT(difference(actual_gradients[i], expected_gradients[i]), 6e-2) << i;
  }
}

TEST_P(TorchLayersOfEachModel, StatesThatDoNotFitAreRefused) {
  const auto other = net->begin_state(B + 1);
  thrown<Error>([&] {
    run_by_torch_layers(layout_of(GetParam()), values(net->weights()), X, other, 0,
                        Precision::kFp32);
  });
}

INSTANTIATE_TEST_SUITE_P(Models, TorchLayersOfEachModel,
                         ::testing::ValuesIn(models_with_torch_form()),
                         [](const auto& info) { return name_of(info.param); });

TEST(TorchLayers, DropoutActsBetweenTheLayers) {
  at::manual_seed(0);
  auto model = plain(ModelKind::kConcise, Cell::kGru, 8);
  model.layers = 2;
  model.dropout = 0.5;
  const auto net = make_model(model, 9, torch::kCPU);
  const auto X = torch::randint(9, {2, 4}, torch::kInt64);
  const auto logits = [&](double dropout) {
    return run_by_torch_layers(layout_of(model), values(net->weights()), X, net->begin_state(2),
                               dropout, Precision::kFp32)
        .first;
  };
  net->train(false);
  EXPECT_TRUE(all_close(logits(0), net->forward(X, net->begin_state(2)).first, 1e-5));
  EXPECT_FALSE(torch::equal(logits(0.5), logits(0)));
}

}  // namespace
}  // namespace unroll

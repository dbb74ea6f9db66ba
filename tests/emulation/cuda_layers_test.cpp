// A model computed by a device's kernels, here on the CPU, against the same model computed plain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>
#include <vector>

#include "base/formatted.h"
#include "emulation/emulated_driver.h"
#include "emulation/gpus.h"
#include "fused/cuda_language_model.h"
#include "layers/cpu_layers.h"
#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

std::vector<TestModel> models_on_kernels() {
  auto models = plain_recurrent_models(40);
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kLstm, Cell::kGru}) {
    models.push_back(plain(ModelKind::kConcise, cell, 12));
    models.back().layers = 2;
  }
  return models;
}

class DeviceLayersOfEachModel : public ::testing::TestWithParam<TestModel> {
 protected:
  static constexpr int64_t V = 9, B = 5, T = 3;

  void SetUp() override {
    at::manual_seed(0);
    net = make_model(GetParam(), V, torch::kCPU);
    for (const auto& [name, weight] : net->weights()) {
      const torch::NoGradGuard no_grad;
      weight.copy_(torch::randn_like(weight) * 0.4);  // biases too
    }
    layout = layout_of(GetParam());
    for (auto& s : net->begin_state(B)) {
      state.push_back(torch::randn_like(s).mul_(0.5).requires_grad_());
    }
    X = torch::randint(V, {B, T}, torch::kInt64);
    by_logits = torch::randn({T * B, V});
    by_states = {torch::randn({B, 1}), torch::randn({B, 1})};
  }

  // By the logits and the states after the last step.
  std::vector<torch::Tensor> gradients(const std::pair<torch::Tensor, State>& result) {
    auto objective = (result.first * by_logits).sum();
    for (std::size_t i = 0; i < result.second.size(); ++i) {
      objective = objective + (result.second[i] * by_states[i]).sum();
    }
    auto inputs = values(net->weights());
    inputs.insert(inputs.end(), state.begin(), state.end());
    return torch::autograd::grad({objective}, inputs);
  }

  std::unique_ptr<SequenceModel> net;
  Layout layout{};
  State state;
  torch::Tensor X, by_logits;
  std::vector<torch::Tensor> by_states;
};

TEST_P(DeviceLayersOfEachModel, LogitsStatesAndGradientsAreTheModels) {
  const auto expected = net->forward(X, state);
  const auto expected_gradients = gradients(expected);
  for (const bool in_clusters : {true, false}) {
    const EmulatedKernels kernels(in_clusters);
    const auto actual = run_on_cuda(kernels, layout, values(net->weights()), {X, {}}, state,
                                    /*dropout=*/0, cuda::Operands::kFloat32);
    EXPECT_TRUE(all_close(actual.first, expected.first, 1e-5));
    ASSERT_EQ(actual.second.size(), expected.second.size());
    for (std::size_t i = 0; i < expected.second.size(); ++i) {
      EXPECT_TRUE(all_close(actual.second[i], expected.second[i], 1e-5));
    }
    const auto actual_gradients = gradients(actual);
    ASSERT_EQ(actual_gradients.size(), expected_gradients.size());
    for (std::size_t i = 0; i < expected_gradients.size(); ++i) {
      EXPECT_TRUE(all_close(actual_gradients[i], expected_gradients[i], 2e-5)) << i;
    }
  }
}

TEST_P(DeviceLayersOfEachModel, LossAndItsGradientsAreTheModels) {
  const auto Y = torch::randint(V, {B, T}, torch::kInt64);
  const auto weights = values(net->weights());
  const auto expected = net->loss({X, Y}, state).first;
  const EmulatedKernels kernels(/*has_clusters=*/true);
  const auto actual =
      run_on_cuda(kernels, layout, weights, {X, Y}, state, /*dropout=*/0, cuda::Operands::kFloat32)
          .first;
  EXPECT_TRUE(all_close(actual, expected, 1e-5));
  const auto gradients_here = torch::autograd::grad({actual}, weights);
  const auto expected_gradients = torch::autograd::grad({expected}, weights);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(all_close(gradients_here[i], expected_gradients[i], 1e-5)) << i;
  }
}

TEST_P(DeviceLayersOfEachModel, InBf16TheyAreNearlyTheModels) {
  const auto expected = net->forward(X, state);
  const auto expected_gradients = gradients(expected);
  const auto difference = [](const torch::Tensor& actual, const torch::Tensor& precise) {
    return ((actual - precise).norm() / precise.norm()).item<double>();
  };
  for (const bool in_clusters : {true, false}) {
    const EmulatedKernels kernels(in_clusters);
    const auto actual = run_on_cuda(kernels, layout, values(net->weights()), {X, {}}, state,
                                    /*dropout=*/0, cuda::Operands::kBf16);
    EXPECT_LT(difference(actual.first, expected.first), 1e-2);
    EXPECT_GT(difference(actual.first, expected.first), 1e-5);
    const auto actual_gradients = gradients(actual);
    for (std::size_t i = 0; i < expected_gradients.size(); ++i) {
      EXPECT_LT(difference(actual_gradients[i], expected_gradients[i]), 3e-2) << i;
    }
  }
}

TEST_P(DeviceLayersOfEachModel, NeedNoGradients) {
  const torch::NoGradGuard no_grad;
  const EmulatedKernels kernels(/*has_clusters=*/true);
  const auto actual = run_on_cuda(kernels, layout, values(net->weights()), {X, {}}, state, 0,
                                  cuda::Operands::kFloat32);
  EXPECT_TRUE(all_close(actual.first, net->forward(X, state).first, 1e-5));
  EXPECT_FALSE(actual.first.requires_grad());
}

TEST_P(DeviceLayersOfEachModel, WhatDoesNotFitIsRefused) {
  const EmulatedKernels kernels(/*has_clusters=*/true);
  const auto weights = values(net->weights());
  const auto other = make_model(GetParam(), V, torch::kCPU)->begin_state(B + 1);
  EXPECT_THAT(thrown<Error>([&] {
                run_on_cuda(kernels, layout, weights, {X, {}}, other, 0, cuda::Operands::kFloat32);
              }),
              HasSubstr("a state must have shape"));
  EXPECT_THAT(thrown<Error>([&] {
                run_on_cuda(kernels, layout, weights, {X, {}}, {}, 0, cuda::Operands::kFloat32);
              }),
              HasSubstr("state tensors, got 0"));
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceLayersOfEachModel, ::testing::ValuesIn(models_on_kernels()),
                         [](const auto& info) { return name_of(info.param); });

// Groups that take one tile of sequences after the other, the last of which is not full.
TEST(DeviceLayers, ABatchMayTakeSeveralWavesAndARest) {
  for (const auto cell : {Cell::kRnn, Cell::kLstm}) {
    const auto model = plain(ModelKind::kConcise, cell, 33);
    at::manual_seed(0);
    const auto net = make_model(model, 9, torch::kCPU);
    const auto weights = values(net->weights());
    for (const int64_t B : {37, 150, 700}) {
      const auto X = torch::randint(9, {B, 2}, torch::kInt64);
      const auto state = net->begin_state(B);
      const auto by_logits = torch::randn({2 * B, 9});
      const auto gradients = [&](const torch::Tensor& logits) {
        return torch::autograd::grad({(logits * by_logits).sum()}, weights);
      };
      const auto expected = net->forward(X, state).first;
      const auto expected_gradients = gradients(expected);
      for (const bool in_clusters : {true, false}) {
        SCOPED_TRACE(formatted("{}, B {}, clusters {}", to_string(cell), B, in_clusters));
        const EmulatedKernels kernels(in_clusters);
        const auto actual = run_on_cuda(kernels, layout_of(model), weights, {X, {}}, state, 0,
                                        cuda::Operands::kFloat32)
                                .first;
        EXPECT_TRUE(all_close(actual, expected, 1e-5));
        const auto actual_gradients = gradients(actual);
        for (std::size_t i = 0; i < weights.size(); ++i) {
          EXPECT_TRUE(all_close(actual_gradients[i], expected_gradients[i], 1e-4)) << i;
        }
      }
    }
  }
}

// By a kernel, by a product with their one-hot rows, in place
class DeviceLayersOfAVocabulary : public ::testing::TestWithParam<int64_t> {};

TEST_P(DeviceLayersOfAVocabulary, TokensAreSummedUp) {
  at::manual_seed(0);
  const auto model = plain(ModelKind::kScratch, Cell::kLstm, 10);
  const int64_t V = GetParam();
  const auto net = make_model(model, V, torch::kCPU);
  const auto weights = values(net->weights());
  const auto X = torch::randint(V, {4, 30}, torch::kInt64);
  const auto state = net->begin_state(4);
  const EmulatedKernels kernels(/*has_clusters=*/true);
  const auto sum = [](const auto& result) { return (result.first * result.first).sum(); };
  const auto actual =
      torch::autograd::grad({sum(run_on_cuda(kernels, layout_of(model), weights, {X, {}}, state, 0,
                                             cuda::Operands::kFloat32))},
                            weights);
  const auto expected = torch::autograd::grad({sum(net->forward(X, state))}, weights);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(all_close(actual[i], expected[i], 1e-4)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, DeviceLayersOfAVocabulary,
                         ::testing::Values(1, 30, 64, 65, 128, 129, 2000));

class LargeCluster : public ::testing::TestWithParam<TestModel> {};

// Of a cluster of sixteen blocks some have no unit where the GPU has none of ten.
TEST_P(LargeCluster, MayHaveBlocksWithoutUnits) {
  at::manual_seed(0);
  const auto& model = GetParam();
  const auto net = make_model(model, 9, torch::kCPU);
  const auto X = torch::randint(9, {3, 4}, torch::kInt64);
  const auto state = net->begin_state(3);
  for (const bool has_ten : {true, false}) {
    auto gpu = small_gpu(32, /*has_clusters=*/true);
    gpu.clusters.at(10) = has_ten ? 3 : 0;
    const EmulatedKernels kernels(gpu);
    const auto weights = values(net->weights());
    const auto sum = [](const auto& result) { return (result.first * result.first).sum(); };
    const auto actual = sum(
        run_on_cuda(kernels, layout_of(model), weights, {X, {}}, state, 0, cuda::Operands::kBf16));
    const auto expected = sum(net->forward(X, state));
    EXPECT_TRUE(all_close(actual / expected, torch::ones({}), 1e-2));
    const auto gradients = torch::autograd::grad({actual}, weights);
    const auto wanted = torch::autograd::grad({expected}, weights);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double difference =
          ((gradients[i] - wanted[i]).norm() / wanted[i].norm()).item<double>();
      EXPECT_LT(difference, 3e-2) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, LargeCluster,
                         ::testing::Values(plain(ModelKind::kConcise, Cell::kLstm, 300),
                                           plain(ModelKind::kScratch, Cell::kRnn, 600)),
                         [](const auto& info) { return name_of(info.param); });

TEST(DeviceLayers, TokensMayBePartOfALargerTensor) {
  at::manual_seed(0);
  const auto model = plain(ModelKind::kScratch, Cell::kRnn, 40);
  const auto net = make_model(model, 9, torch::kCPU);
  const auto tokens = torch::randint(9, {4, 3}, torch::kInt64);
  const EmulatedKernels kernels(/*has_clusters=*/true);
  for (const int64_t T : {1, 2}) {
    const auto X = tokens.narrow(1, 0, T);
    const auto state = net->begin_state(4);
    const auto actual = run_on_cuda(kernels, layout_of(model), values(net->weights()), {X, {}},
                                    state, 0, cuda::Operands::kFloat32);
    EXPECT_TRUE(all_close(actual.first, net->forward(X, state).first, 1e-5)) << T;
  }
}

TEST(DeviceLayers, DropoutActsBetweenTheLayers) {
  at::manual_seed(0);
  auto model = plain(ModelKind::kConcise, Cell::kLstm, 8);
  model.layers = 2;
  model.dropout = 0.5;
  const auto net = make_model(model, 9, torch::kCPU);
  const auto X = torch::randint(9, {2, 4}, torch::kInt64);
  const auto state = net->begin_state(2);
  const EmulatedKernels kernels(/*has_clusters=*/true);
  const auto logits = [&](double dropout) {
    at::manual_seed(1);
    return run_on_cuda(kernels, layout_of(model), values(net->weights()), {X, {}}, state, dropout,
                       cuda::Operands::kFloat32)
        .first;
  };
  net->train(true);
  at::manual_seed(1);
  EXPECT_TRUE(all_close(logits(0.5), net->forward(X, state).first, 1e-5));
  EXPECT_FALSE(torch::equal(logits(0.5), logits(0)));
}

// Numbers (T,B,inputs) instead of tokens, against the CPU's kernels
TEST(DeviceLayers, ReadNumbersToo) {
  constexpr int64_t kInputs = 6, kHidden = 20, B = 5, T = 3;
  for (const auto& model : {plain(ModelKind::kConcise, Cell::kRnn, kHidden),
                            plain(ModelKind::kConcise, Cell::kGru, kHidden),
                            plain(ModelKind::kConcise, Cell::kLstm, kHidden),
                            plain(ModelKind::kScratch, Cell::kGru, kHidden)}) {
    SCOPED_TRACE(name_of(model));
    at::manual_seed(0);
    auto layers = model;
    layers.layers = model.model == ModelKind::kConcise ? 2 : 1;
    const auto net = make_model(layers, kInputs, torch::kCPU);
    const auto layout = layout_of(layers);
    auto weights = values(net->weights());
    weights.resize(layer_weight_count(layout));
    auto by = weights;
    State state;
    for (const auto& s : net->begin_state(B)) {
      state.push_back(torch::randn_like(s).requires_grad_());
      by.push_back(state.back());
    }
    const auto x = torch::randn({T, B, kInputs}).requires_grad_();
    by.push_back(x);
    const auto by_outputs = torch::randn({T, B, kHidden});
    const auto gradients = [&](const std::pair<torch::Tensor, State>& result) {
      auto objective = (result.first * by_outputs).sum();
      for (const auto& s : result.second) {
        objective = objective + s.square().sum();
      }
      return torch::autograd::grad({objective}, by, {}, /*retain_graph=*/true);
    };
    const auto expected = run_layers_on_cpu(
        layout, weights, x, state, std::make_shared<LayerStacks>([&] {
          return std::make_shared<cpu::LayerStack>(layout.cell, layout.layers, kHidden);
        }));
    const auto expected_gradients = gradients(expected);
    const EmulatedKernels kernels(/*has_clusters=*/true);
    const auto actual = run_layers_on_cuda(kernels, layout, weights, x, state,
                                           cuda::Operands::kFloat32, std::make_shared<Workspace>());
    EXPECT_TRUE(all_close(actual.first, expected.first, 1e-5));
    for (int times = 0; times < 2; ++times) {
      const auto actual_gradients = gradients(actual);
      for (std::size_t i = 0; i < by.size(); ++i) {
        EXPECT_TRUE(all_close(actual_gradients[i], expected_gradients[i], 2e-5)) << i;
      }
    }
    EXPECT_EQ(thrown<Error>([&] {
                run_layers_on_cuda(kernels, layout, weights, x.narrow(2, 0, 4), state,
                                   cuda::Operands::kFloat32, std::make_shared<Workspace>());
              }),
              "the inputs must have shape [3, 5, 6], got [3, 5, 4]");
  }
}

TEST(DeviceLayers, FindTheirOperandsOnceForEachBatchSize) {
  const EmulatedKernels kernels(cuda::kLittleShared);
  LayerOperands operands(kernels, Precision::kBf16, CellKind::kLstm, 640);
  EXPECT_EQ(operands.of(32, torch::kCPU), cuda::Operands::kFloat32);
  EXPECT_EQ(operands.of(32, torch::kCPU), cuda::Operands::kFloat32);
  LayerOperands none(kernels, Precision::kFp32, CellKind::kLstm, 2048);
  EXPECT_EQ(none.of(32, torch::kCPU), std::nullopt);
}

TEST(DeviceLayersInBf16, WhatFindsNoRoomIsComputedInFloat32OrNotAtAll) {
  const EmulatedKernels kernels(cuda::kLittleShared);
  const auto operands = [&](Precision precision, int64_t hidden) {
    return operands_of(kernels, precision, CellKind::kLstm, 32, hidden, torch::kCPU);
  };
  EXPECT_EQ(operands(Precision::kFp32, 512), cuda::Operands::kFloat32);
  EXPECT_EQ(operands(Precision::kBf16, 512), cuda::Operands::kBf16);
  EXPECT_EQ(operands(Precision::kBf16, 640), cuda::Operands::kFloat32);
  EXPECT_EQ(operands(Precision::kFp32, 2048), std::nullopt);
  EXPECT_EQ(operands(Precision::kBf16, 2048), std::nullopt);
}

}  // namespace
}  // namespace unroll

// Models computed by torch::nn's layers, on the CPU, against the same models computed plain.
#include "fused/torch_layers.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "fused/engine.h"
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
  torch::Tensor X = torch::randint(V, {B, T}, torch::kInt64);
  torch::Tensor by_logits = torch::randn({T * B, V});
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

// Microseconds a step by cuDNN and by our kernels in float32, as docs/gpu.md has them.
struct Measured {
  CellKind cell;
  int64_t hidden;
  int64_t batch_size;
  double cudnn;
  double kernels;
};
constexpr auto kRnn = CellKind::kRnn;
constexpr auto kLstm = CellKind::kLstm;
constexpr auto kGru = CellKind::kGruAfter;
constexpr Measured kMeasured[] = {
    {kRnn, 128, 1, 177, 143},         {kRnn, 128, 32, 196, 175},
    {kRnn, 128, 128, 212, 265},       {kRnn, 128, 512, 403, 672},
    {kRnn, 256, 32, 338, 230},        {kRnn, 256, 512, 1195, 1118},
    {kRnn, 512, 1, 469, 192},         {kRnn, 512, 32, 896, 334},
    {kRnn, 512, 128, 1463, 678},      {kRnn, 512, 512, 2003, 2047},
    {kRnn, 1024, 1, 531, 394},        {kRnn, 1024, 32, 1269, 675},
    {kRnn, 1024, 128, 2743, 2038},    {kRnn, 1024, 512, 4493, 7477},
    {kRnn, 2048, 32, 2428, 2212},     {kRnn, 2048, 128, 4775, 8107},
    {kRnn, 2048, 512, 12400, 31529},  {kLstm, 128, 32, 358, 310},
    {kLstm, 128, 512, 1203, 1374},    {kLstm, 256, 32, 985, 428},
    {kLstm, 256, 512, 2322, 2731},    {kLstm, 512, 1, 621, 474},
    {kLstm, 512, 32, 1637, 705},      {kLstm, 512, 128, 2070, 2101},
    {kLstm, 512, 512, 4932, 7531},    {kLstm, 1024, 1, 741, 655},
    {kLstm, 1024, 32, 2575, 3510},    {kLstm, 1024, 128, 4701, 13182},
    {kLstm, 1024, 512, 12369, 51539}, {kGru, 128, 32, 253, 339},
    {kGru, 128, 512, 1286, 1456},     {kGru, 256, 32, 917, 463},
    {kGru, 256, 512, 2596, 4397},     {kGru, 512, 32, 1272, 797},
    {kGru, 512, 128, 1836, 2414},     {kGru, 512, 512, 4233, 8745},
    {kGru, 1024, 32, 2556, 3636},     {kGru, 1024, 512, 10825, 53391}};

TEST(CudnnIsFaster, WhereItWasMeasuredToBe) {
  for (const auto& [cell, hidden, batch_size, cudnn, kernels] : kMeasured) {
    const double chosen = cudnn_is_faster(cell, batch_size, hidden) ? cudnn : kernels;
    EXPECT_LE(chosen, 1.05 * std::min(cudnn, kernels))
        << static_cast<int>(cell) << ", " << hidden << " units, batch " << batch_size;
  }
}

}  // namespace
}  // namespace unroll

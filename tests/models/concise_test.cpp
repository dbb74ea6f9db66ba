#include "unroll/concise.h"

#include <gtest/gtest.h>

#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

template <typename Layer, typename Options>
void expect_shapes(std::size_t states, int64_t layers) {
  RNNModel net(Layer(Options(28, 512).num_layers(layers)), 28);
  const auto X = torch::arange(10).reshape({2, 5});
  const auto [Y, state] = net.forward(X, net.begin_state(X.size(0)));
  EXPECT_EQ(Y.sizes(), (std::vector<int64_t>{10, 28}));
  ASSERT_EQ(state.size(), states);
  for (const auto& s : state) {
    EXPECT_EQ(s.sizes(), (std::vector<int64_t>{layers, 2, 512}));
  }
}

TEST(RnnModel, HasTheNotebooksShapes) {
  using namespace torch::nn;
  for (const int64_t layers : {1, 2}) {
    expect_shapes<RNN, RNNOptions>(1, layers);
    expect_shapes<GRU, GRUOptions>(1, layers);
    expect_shapes<LSTM, LSTMOptions>(2, layers);
  }
}

TEST(RnnModel, IsTheLayerAndALinearLayerOverAllSteps) {
  at::manual_seed(0);
  torch::nn::RNN layer(torch::nn::RNNOptions(6, 4).nonlinearity(torch::kTanh));
  RNNModel net(layer, 6);
  const auto X = torch::randint(6, {2, 3}, torch::kInt64);
  const auto outputs = std::get<0>(layer->forward(torch::one_hot(X.t(), 6).to(torch::kFloat32)));
  const auto weights = net.weights();
  EXPECT_TRUE(
      torch::allclose(net.forward(X, net.begin_state(2)).first,
                      torch::linear(outputs.reshape({6, 4}), tensor_named(weights, "linear.weight"),
                                    tensor_named(weights, "linear.bias")),
                      1e-5, 1e-6));
}

TEST(RnnModel, IsAModule) {
  RNNModel net(torch::nn::GRU(torch::nn::GRUOptions(6, 4)), 6);
  const auto named = net.named_parameters();
  const auto weights = net.weights();
  ASSERT_EQ(weights.size(), named.size());
  for (const auto& [name, tensor] : weights) {
    EXPECT_TRUE(tensor.is_alias_of(named[name])) << name;
  }
  net.to(torch::kFloat64);
  EXPECT_EQ(net.begin_state(1)[0].scalar_type(), torch::kFloat64);
}

TEST(RnnModel, RefusesLayersThatDoNotFit) {
  using torch::nn::LSTM;
  using torch::nn::LSTMOptions;
  thrown<UsageError>([] { RNNModel(LSTM(LSTMOptions(6, 4).bidirectional(true)), 6); });
  thrown<UsageError>([] { RNNModel(LSTM(LSTMOptions(6, 4).batch_first(true)), 6); });
  thrown<UsageError>([] { RNNModel(LSTM(LSTMOptions(5, 4)), 6); });
}

}  // namespace
}  // namespace unroll

#include "unroll/concise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/cloneable.h>

#include <memory>
#include <type_traits>
#include <variant>

#include "support/thrown.h"
#include "unroll/compute.h"
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

// A user's module, as torch's own clone needs it.
struct Tagger : torch::nn::Cloneable<Tagger> {
  Tagger() { reset(); }
  void reset() override {
    net = register_module(
        "net", std::make_shared<RNNModel>(torch::nn::LSTM(torch::nn::LSTMOptions(6, 4)), 6));
    tags = register_module("tags", torch::nn::Linear(6, 3));
  }
  std::shared_ptr<RNNModel> net;
  torch::nn::Linear tags{nullptr};
};

void expect_copies(const torch::nn::Module& copy, const torch::nn::Module& module) {
  const auto copies = copy.named_parameters();
  const auto own = module.named_parameters();
  ASSERT_EQ(copies.keys(), own.keys());
  for (const auto& name : own.keys()) {
    EXPECT_TRUE(torch::equal(copies[name], own[name])) << name;
    EXPECT_FALSE(copies[name].is_alias_of(own[name])) << name;
  }
}

TEST(RnnModel, IsClonedWithItsParameters) {
  at::manual_seed(0);
  RNNModel net(torch::nn::GRU(torch::nn::GRUOptions(6, 4).num_layers(2).dropout(0.5)), 6);
  net.weights()[0].tensor.requires_grad_(false);
  net.to(torch::kFloat64);
  net.eval();
  const auto copy = std::dynamic_pointer_cast<RNNModel>(net.clone());
  ASSERT_TRUE(copy);
  expect_copies(*copy, net);
  EXPECT_FALSE(copy->is_training());
  EXPECT_FALSE(copy->weights()[0].tensor.requires_grad());
  EXPECT_TRUE(copy->weights()[1].tensor.requires_grad());
  const auto X = torch::randint(6, {2, 3}, torch::kInt64);
  EXPECT_TRUE(torch::equal(copy->forward(X, copy->begin_state(2)).first,
                           net.forward(X, net.begin_state(2)).first));
}

TEST(RnnModel, IsClonedAsAPartOfAnotherModule) {
  at::manual_seed(0);
  Tagger tagger;
  tagger.net->weights()[0].tensor.data().add_(1);
  const auto copy = std::dynamic_pointer_cast<Tagger>(tagger.clone());
  ASSERT_TRUE(copy);
  expect_copies(*copy, tagger);
  const auto X = torch::randint(6, {2, 3}, torch::kInt64);
  EXPECT_TRUE(torch::equal(copy->net->forward(X, copy->net->begin_state(2)).first,
                           tagger.net->forward(X, tagger.net->begin_state(2)).first));
  // What the copy computes with is what it has registered.
  copy->parameters()[0].data().add_(1);
  EXPECT_FALSE(torch::equal(copy->net->forward(X, copy->net->begin_state(2)).first,
                            tagger.net->forward(X, tagger.net->begin_state(2)).first));
}

TEST(RnnModel, WhatIsMoreThanAModelIsNotClonedAsOne) {
  struct Derived : RNNModel {
    using RNNModel::RNNModel;
  };
  const auto layer = [] { return torch::nn::RNN(torch::nn::RNNOptions(6, 4)); };
  EXPECT_THAT(thrown<Error>([&] { Derived(layer(), 6).clone(); }),
              ::testing::EndsWith("is more than an RNNModel: its class must clone it"));
  RNNModel extended(layer(), 6);
  extended.register_module("further", torch::nn::Linear(2, 2));
  thrown<Error>([&] { extended.clone(); });
  thrown<Error>([&] { extended.config(); });
}

TEST(RnnModel, TwoNeverShareTheirParameters) {
  static_assert(!std::is_copy_constructible_v<RNNModel>);
  static_assert(!std::is_copy_assignable_v<RNNModel>);
}

TEST(RnnModel, ItsPartsCanBeReached) {
  const torch::nn::LSTM layer(torch::nn::LSTMOptions(6, 4));
  const RNNModel net(layer, 6);
  EXPECT_EQ(std::get<torch::nn::LSTM>(net.rnn()).ptr(), layer.ptr());
  EXPECT_TRUE(net.linear()->weight.is_same(tensor_named(net.weights(), "linear.weight")));
}

TEST(RnnModel, DropoutOfOneLayerIsNone) {
  const RNNModel net(torch::nn::RNN(torch::nn::RNNOptions(6, 4).dropout(0.5)), 6);
  EXPECT_EQ(net.config().dropout, 0);
}

TEST(RnnModel, RefusesLayersThatDoNotFit) {
  using torch::nn::LSTM;
  using torch::nn::LSTMOptions;
  thrown<UsageError>([] { RNNModel(LSTM(LSTMOptions(6, 4).bidirectional(true)), 6); });
  thrown<UsageError>([] { RNNModel(LSTM(LSTMOptions(6, 4).batch_first(true)), 6); });
  thrown<UsageError>([] { RNNModel(LSTM(LSTMOptions(5, 4)), 6); });
  EXPECT_EQ(thrown<UsageError>([] { RNNModel(LSTM(nullptr), 6); }),
            "RNNModel needs a recurrent layer that is there, got null");
}

}  // namespace
}  // namespace unroll

// What is computed of a model that was given, not made.
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <utility>

#include "support/model_configs.h"
#include "support/random_values.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/concise.h"
#include "unroll/error.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

constexpr int64_t V = 7, H = 9;
const Compute kFusedCompute{.backend = Backend::kFused};

// Throws unless the kernels compute what the model does.
void expect_same_function(const std::shared_ptr<SequenceModel>& net) {
  const auto fused = computed_as(net, kFusedCompute);
  EXPECT_EQ(fused->effective_compute(2).backend, Backend::kFused);
  EXPECT_EQ(fused->config(), net->config());
  const auto X = torch::randint(V, {2, 6}, torch::kInt64);
  const auto expected = net->forward(X, net->begin_state(2)).first;
  EXPECT_TRUE(torch::allclose(fused->forward(X, net->begin_state(2)).first, expected, 1e-4, 1e-5));
}

std::string refused(const std::shared_ptr<SequenceModel>& net) {
  EXPECT_EQ(computed_as(net, {})->effective_compute(2).backend, Backend::kPlain);
  const auto X = torch::randint(V, {2, 6}, torch::kInt64);
  EXPECT_TRUE(torch::equal(computed_as(net, {})->forward(X, net->begin_state(2)).first,
                           net->forward(X, net->begin_state(2)).first));
  return thrown<Error>([&] { computed_as(net, kFusedCompute); });
}

TEST(ComputedAs, TheModelItselfSaysWhatIsComputed) {
  using namespace torch::nn;
  at::manual_seed(0);
  for (const auto layers : {1, 2}) {
    for (const auto& layer : std::vector<RNNModel::RecurrentLayer>{
             RNN(RNNOptions(V, H).num_layers(layers)),
             RNN(RNNOptions(V, H).num_layers(layers).nonlinearity(torch::kReLU)),
             GRU(GRUOptions(V, H).num_layers(layers)),
             LSTM(LSTMOptions(V, H).num_layers(layers))}) {
      const auto net = std::make_shared<RNNModel>(layer, V);
      for (const auto& weight : net->parameters()) {
        weight.data().normal_(0, 0.4);
      }
      expect_same_function(net);
    }
  }
  const auto scratch = [](auto params, auto state, auto forward) {
    return std::make_shared<RNNModelScratch>(V, H, torch::kCPU, params, state, forward);
  };
  for (const auto& net :
       {scratch(get_params, init_rnn_state, rnn), scratch(get_params, init_rnn_state, rnn_relu),
        scratch(get_gru_params, init_gru_state, gru),
        scratch(get_gru_reset_after_params, init_gru_state, gru_reset_after),
        scratch(get_lstm_params, init_lstm_state, lstm)}) {
    for (const auto& weight : values(net->weights())) {
      weight.data().normal_(0, 0.4);
    }
    expect_same_function(net);
  }
}

TEST(ComputedAs, WhatTheKernelsDoNotKnowIsPlainOrRefused) {
  const std::string begin = "the fused backend cannot compute this model: ";
  const auto unbiased =
      std::make_shared<RNNModel>(torch::nn::GRU(torch::nn::GRUOptions(V, H).bias(false)), V);
  EXPECT_EQ(refused(unbiased),
            begin + "no description stands for this model: its recurrent layer has no biases");

  // As rnn, but with a leak.
  const auto leaky = [](const torch::Tensor& inputs, const State& state,
                        const NamedTensors& params) {
    auto [outputs, next] = rnn(inputs, state, params);
    return std::pair{outputs, State{0.5 * state[0] + 0.5 * next[0]}};
  };
  const std::string own =
      "no description stands for this scratch model: its forward function is its own";
  EXPECT_EQ(refused(std::make_shared<RNNModelScratch>(V, H, torch::kCPU, get_params, init_rnn_state,
                                                      leaky)),
            begin + own);

  class Halved : public RNNModel {
   public:
    using RNNModel::RNNModel;
    std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
      auto [logits, next] = RNNModel::forward(X, state);
      return {logits / 2, next};
    }
  };
  EXPECT_EQ(refused(std::make_shared<Halved>(torch::nn::RNN(torch::nn::RNNOptions(V, H)), V)),
            begin + "no description stands for this model: its class is derived from RNNModel");
}

TEST(ComputedAs, ParametersInAnOrderOfTheirOwnAreRefused) {
  const auto turned = [](int64_t v, int64_t h, torch::Device device) {
    auto params = get_params(v, h, device);
    std::swap(params[2], params[4]);
    return params;
  };
  const auto net = std::make_shared<RNNModelScratch>(
      V, H, torch::kCPU, turned, init_rnn_state,
      static_cast<std::pair<torch::Tensor, State> (*)(const torch::Tensor&, const State&,
                                                      const NamedTensors&)>(rnn));
  EXPECT_EQ(thrown<Error>([&] { computed_as(net, kFusedCompute); }),
            "the fused backend cannot compute this model: weight 2 must be b_h, got b_q");
}

TEST(ComputedAs, DropoutIsTheLayersOwn) {
  const auto net = std::make_shared<RNNModel>(
      torch::nn::LSTM(torch::nn::LSTMOptions(V, H).num_layers(2).dropout(0.5)), V);
  const auto fused = computed_as(net, kFusedCompute);
  EXPECT_EQ(fused->config().dropout, 0.5);
  const auto X = torch::randint(V, {2, 6}, torch::kInt64);
  at::manual_seed(1);
  const auto expected = net->forward(X, net->begin_state(2)).first;
  at::manual_seed(1);
  const auto actual = fused->forward(X, net->begin_state(2)).first;
  EXPECT_TRUE(torch::allclose(actual, expected, 1e-4, 1e-5));
  fused->train(false);
  EXPECT_FALSE(torch::allclose(fused->forward(X, net->begin_state(2)).first, actual, 1e-4, 1e-5));
}

TEST(ComputedAs, AnotherDescriptionIsRefusedByWhatDiffers) {
  const auto net = std::make_shared<RNNModel>(
      torch::nn::RNN(torch::nn::RNNOptions(V, H).nonlinearity(torch::kReLU)), V);
  const auto message = [&](const ModelConfig& config) {
    return thrown<Error>([&] { computed_as(net, config, kFusedCompute); });
  };
  const auto concise = ModelKind::kConcise;
  EXPECT_EQ(message({.model = concise, .hidden = H}),
            "the model has cell rnn-relu, its description rnn");
  EXPECT_EQ(message({.model = concise, .cell = Cell::kRnnRelu, .hidden = 8}),
            "the model has hidden 9, its description 8");
  EXPECT_EQ(message({.cell = Cell::kRnnRelu, .hidden = H}),
            "the model has model concise, its description scratch");
  EXPECT_EQ(
      message({.model = concise, .cell = Cell::kRnnRelu, .hidden = H, .layers = 2, .dropout = 0.5}),
      "the model has layers 1, its description 2");
  EXPECT_NO_THROW(
      computed_as(net, {.model = concise, .cell = Cell::kRnnRelu, .hidden = H}, kFusedCompute));
}

TEST(ComputedAs, AFirstStateOfItsOwnIsNotTheKernels) {
  const auto net = std::make_shared<RNNModelScratch>(
      V, H, torch::kCPU, get_params,
      [](int64_t B, int64_t h, torch::Device) {
        return State{torch::ones({B, h})};
      },
      rnn);
  EXPECT_EQ(refused(net),
            "the fused backend cannot compute this model: no description stands for this scratch "
            "model: its first state is its own");
}

TEST(ComputedAs, WeightsThatAreRegisteredLaterAreRefused) {
  const auto net = std::make_shared<RNNModel>(torch::nn::RNN(torch::nn::RNNOptions(V, H)), V);
  const auto fused = computed_as(net, kFusedCompute);
  net->register_module("further", torch::nn::Linear(2, 2));
  const auto X = torch::zeros({2, 3}, torch::kInt64);
  EXPECT_EQ(thrown<Error>([&] { fused->forward(X, fused->begin_state(2)); }),
            "this model has 6 weights, got 8");
  thrown<Error>([&] { fused->make_decoder(1); });
}

TEST(ComputedAs, AGeneratorOfAnotherDeviceIsRefused) {
  const auto net = std::make_shared<RNNModel>(
      torch::nn::GRU(torch::nn::GRUOptions(V, H).num_layers(2).dropout(0.5)), V);
  EXPECT_EQ(thrown<Error>([&] { computed_as(net, {.generator = at::Generator()}); }),
            "a generator of your own must be on cpu, got none");
  const auto unbiased =
      std::make_shared<RNNModel>(torch::nn::GRU(torch::nn::GRUOptions(V, H).bias(false)), V);
  thrown<Error>(
      [&] { computed_as(unbiased, {.generator = at::make_generator<at::CPUGeneratorImpl>(1)}); });
}

// A user's own module, with a model as a part of it.
struct Owner : torch::nn::Module {
  Owner() {
    net = register_module(
        "net", std::make_shared<RNNModel>(torch::nn::GRU(torch::nn::GRUOptions(V, H)), V));
  }
  std::shared_ptr<RNNModel> net;
};

TEST(ComputedAs, APartOfAnotherModuleIsComputedToo) {
  Owner owner;
  expect_same_function(owner.net);
  const auto fused = computed_as(owner.net, kFusedCompute);
  for (const auto& weight : values(fused->weights())) {
    weight.data().add_(0.1);
  }
  expect_same_function(owner.net);
  EXPECT_TRUE(fused->weights()[0].tensor.is_same(owner.parameters()[0]));
  owner.to(torch::kFloat64);
  EXPECT_EQ(fused->effective_compute(2).backend, Backend::kPlain);
}

TEST(ComputedAs, KeepsTheModelsOwnWeights) {
  for (const auto backend : {Backend::kAuto, Backend::kPlain, Backend::kFused}) {
    const ModelConfig config{.hidden = 4};
    auto model = make_model(config, 3, torch::kCPU, {.backend = Backend::kPlain});
    const auto weights = values(model->weights());
    const auto net = computed_as(std::move(model), config, {.backend = backend});
    ASSERT_EQ(net->weights().size(), weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      EXPECT_TRUE(net->weights()[i].tensor.is_same(weights[i]));
    }
  }
}

TEST(ComputedAs, NoModelIsWrongUsage) {
  EXPECT_EQ(thrown<UsageError>([] { computed_as(nullptr, {}); }),
            "a model is needed to compute it, got null");
  thrown<UsageError>([] { computed_as(nullptr, {.hidden = 4}, {}); });
}

}  // namespace
}  // namespace unroll

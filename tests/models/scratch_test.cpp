#include "unroll/scratch.h"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <utility>

#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// The notebook's check: X of arange(10), 28 tokens, 512 hidden units.
class RnnModelScratchOfEachCell : public ::testing::TestWithParam<TestModel> {};

TEST_P(RnnModelScratchOfEachCell, HasTheNotebooksShapes) {
  const auto net = make_model(GetParam(), 28, torch::kCPU);
  const auto X = torch::arange(10).reshape({2, 5});
  const auto begin = net->begin_state(X.size(0));
  const auto [Y, state] = net->forward(X, begin);
  EXPECT_EQ(Y.sizes(), (std::vector<int64_t>{10, 28}));
  const auto cell = GetParam().cell;
  EXPECT_EQ(state.size(), cell == Cell::kMlp ? 0U : cell == Cell::kLstm ? 2U : 1U);
  ASSERT_EQ(begin.size(), state.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    EXPECT_EQ(state[i].sizes(), (std::vector<int64_t>{2, 512}));
    EXPECT_TRUE(torch::equal(begin[i], torch::zeros({2, 512})));
  }
}

TEST_P(RnnModelScratchOfEachCell, TimeStepsOfOneCallEqualCallsOfOneStep) {
  auto model = GetParam();
  model.hidden = 8;
  const auto net = make_model(model, 6, torch::kCPU);
  for (const auto& weight : values(net->weights())) {
    weight.data().normal_();
  }
  const auto X = torch::randint(6, {3, 4}, torch::kInt64);
  const auto [together, last] = net->forward(X, net->begin_state(3));
  auto state = net->begin_state(3);
  for (int64_t t = 0; t < 4; ++t) {
    auto [logits, next] = net->forward(X.narrow(1, t, 1), state);
    EXPECT_TRUE(torch::allclose(logits, together.narrow(0, 3 * t, 3), 1e-5, 1e-6)) << "step " << t;
    state = next;
  }
  for (std::size_t i = 0; i < state.size(); ++i) {
    EXPECT_TRUE(torch::allclose(state[i], last[i], 1e-5, 1e-6));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RnnModelScratchOfEachCell, ::testing::ValuesIn([] {
                           auto models = all_models(512);
                           std::erase_if(models, [](const auto& m) {
                             return m.model != ModelKind::kScratch || m.is_fused();
                           });
                           return models;
                         }()),
                         [](const auto& info) { return name_of(info.param); });

TEST(RnnModelScratch, CallsTheThreeFunctionsItWasGiven) {
  NamedTensors given;
  RNNModelScratch net(
      3, 2, torch::kCPU,
      [](int64_t V, int64_t H, torch::Device) {
        return NamedTensors{{"W", torch::ones({V, H}, torch::kFloat64)}};
      },
      [](int64_t B, int64_t H, torch::Device) {
        return State{torch::full({B, H}, 7.0)};
      },
      [&](const torch::Tensor& inputs, const State& state, const NamedTensors& params) {
        given = {{"inputs", inputs}, {"state", state[0]}, params[0]};
        return std::pair{inputs.flatten(0, 1), state};
      });
  const auto X = torch::tensor({{0, 2}}, torch::kInt64);
  const auto Y = net.forward(X, net.begin_state(1)).first;
  // Time runs first, tokens are one-hot in the parameters' type.
  EXPECT_TRUE(torch::equal(Y, torch::tensor({{1.0, 0.0, 0.0}, {0.0, 0.0, 1.0}}, torch::kFloat64)));
  EXPECT_EQ(tensor_named(given, "inputs").sizes(), (std::vector<int64_t>{2, 1, 3}));
  EXPECT_EQ(tensor_named(given, "state").sum().item<double>(), 14);
  EXPECT_TRUE(tensor_named(given, "W").is_alias_of(net.weights()[0].tensor));
}

// The message of a model with these parameters.
template <typename E = Error>
std::string refused(const GetParams& own_params) {
  return thrown<E>([&] { RNNModelScratch(3, 2, torch::kCPU, own_params, init_rnn_state, rnn); });
}

TEST(RnnModelScratch, ParametersThatNoUpdaterWouldChangeAreRefused) {
  const auto scale = torch::ones({}, torch::requires_grad());
  EXPECT_EQ(refused([&](int64_t V, int64_t H, torch::Device device) {
              auto params = get_params(V, H, device);
              params[1].tensor = params[1].tensor * scale;
              return params;
            }),
            "the parameter W_hh must be a leaf to be trained, got the result of an operation on a "
            "tensor that requires a gradient; detach it, then call requires_grad_()");
  EXPECT_NO_THROW(RNNModelScratch(
      3, 2, torch::kCPU,
      [](int64_t V, int64_t H, torch::Device device) {
        auto params = get_params(V, H, device);
        params[1].tensor = (params[1].tensor * 2).detach();  // frozen
        return params;
      },
      init_rnn_state, rnn));
}

TEST(RnnModelScratch, ParametersThatAreNoneAreRefused) {
  EXPECT_EQ(refused([](auto...) { return NamedTensors{}; }),
            "get_params must give at least 1 parameter, got 0");
  EXPECT_EQ(refused([](auto...) {
              return NamedTensors{{"W", {}}};
            }),
            "the parameter W must be of a floating-point dtype, got no tensor");
  EXPECT_EQ(refused([](auto...) {
              return NamedTensors{{"W", torch::ones(2, torch::kInt64)}};
            }),
            "the parameter W must be of a floating-point dtype, got Long");
  EXPECT_EQ(refused([](auto...) {
              return NamedTensors{{"W", torch::ones(2, torch::kMeta)}};
            }),
            "the parameter W must be on cpu, got meta");
  EXPECT_EQ(refused<UsageError>(GetParams{}),
            "a model needs get_params, init_state and forward_fn, got an empty function");
}

TEST(RnnModelScratch, ParametersThatStandThereTwiceAreRefused) {
  const auto W = torch::ones({2});
  EXPECT_EQ(refused([&](auto...) {
              return NamedTensors{{"W", W}, {"W", torch::ones({2})}};
            }),
            "the parameters W and W must have names and tensors of their own");
  EXPECT_EQ(refused([&](auto...) {
              return NamedTensors{{"W", W}, {"V", W}};
            }),
            "the parameters W and V must have names and tensors of their own");
}

TEST(ScratchFunctions, StatesOfAnotherShapeAreRefused) {
  const auto inputs = torch::zeros({4, 2, 3});
  const auto params = get_params(3, 5, torch::kCPU);
  const auto lstm_params = get_lstm_params(3, 5, torch::kCPU);
  EXPECT_EQ(thrown<Error>([&] {
              rnn(inputs, {torch::zeros({1, 5})}, params);
            }),
            "a state must have shape [2, 5], got [1, 5]");
  EXPECT_EQ(thrown<Error>([&] { rnn(inputs, {}, params); }),
            "this model has 1 state tensors, got 0");
  EXPECT_EQ(thrown<Error>([&] {
              lstm(inputs, {torch::zeros({2, 5})}, lstm_params);
            }),
            "this model has 2 state tensors, got 1");
}

TEST(RnnModelScratch, OutputsOfAnotherShapeAreRefused) {
  RNNModelScratch net(3, 2, torch::kCPU, get_params, init_rnn_state,
                      [](const torch::Tensor&, const State& state, const NamedTensors&) {
                        return std::pair{torch::zeros({3, 4}), state};
                      });
  EXPECT_EQ(thrown<Error>([&] {
              net.forward(torch::zeros({1, 4}, torch::kInt64), net.begin_state(1));
            }),
            "the outputs of forward_fn must have shape [4, 3], got [3, 4]");
}

TEST(RnnModelScratch, AStateHasTheBatchAsItsLastDimensionButOne) {
  EXPECT_EQ(thrown<Error>([] {
              RNNModelScratch(
                  3, 2, torch::kCPU, get_params,
                  [](int64_t B, int64_t, torch::Device) { return State{torch::zeros({B})}; }, rnn);
            }),
            "a state must have the batch as its last dimension but one, got shape [1]");
}

TEST(RnnModelScratch, TwoNeverShareTheirParameters) {
  static_assert(!std::is_copy_constructible_v<RNNModelScratch>);
  static_assert(!std::is_copy_assignable_v<RNNModelScratch>);
  RNNModelScratch net(3, 2, torch::kCPU, get_params, init_rnn_state, rnn);
  const auto weight = net.weights()[0].tensor;
  const RNNModelScratch moved(std::move(net));
  EXPECT_TRUE(moved.weights()[0].tensor.is_same(weight));
}

TEST(RnnModelScratch, RefusesEmptySizes) {
  thrown<UsageError>([] { RNNModelScratch(0, 2, torch::kCPU, get_params, init_rnn_state, rnn); });
  thrown<UsageError>([] { RNNModelScratch(2, 0, torch::kCPU, get_params, init_rnn_state, rnn); });
}

}  // namespace
}  // namespace unroll

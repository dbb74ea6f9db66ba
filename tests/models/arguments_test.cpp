// What every model says of arguments that do not fit, whoever computes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/model.h"

namespace unroll {
namespace {

class ArgumentsOfEachModel : public ::testing::TestWithParam<TestModel> {
 protected:
  static constexpr int64_t V = 5, B = 2, T = 3;

  void SetUp() override {
    at::manual_seed(0);
    net = make_model(GetParam(), V, torch::kCPU);
  }

  std::string refused(const torch::Tensor& X) {
    const auto message = thrown<Error>([&] { net->forward(X, net->begin_state(B)); });
    EXPECT_EQ(thrown<Error>([&] { net->loss({X, X}, net->begin_state(B)); }), message);
    return message;
  }
  std::string refused_labels(const torch::Tensor& Y) {
    return thrown<Error>([&] { net->loss({batch.X, Y}, net->begin_state(B)); });
  }
  std::string refused_state(const State& state) {
    const auto message = thrown<Error>([&] { net->forward(batch.X, state); });
    EXPECT_EQ(thrown<Error>([&] { net->loss(batch, state); }), message);
    return message;
  }

  std::unique_ptr<SequenceModel> net;
  Batch batch{torch::tensor({{0, 1, 2}, {4, 3, 2}}), torch::tensor({{1, 2, 3}, {3, 2, 1}})};
};

TEST_P(ArgumentsOfEachModel, TokensAreARectangleOfIntegersBelowV) {
  const std::string begin = "X must be (B,T) with B and T at least 1, got ";
  const std::string shape = begin + "shape ";
  EXPECT_EQ(refused({}), begin + "no tensor");
  EXPECT_EQ(refused(torch::zeros({3}, torch::kInt64)), shape + "[3]");
  EXPECT_EQ(refused(torch::zeros({2, 3, 1}, torch::kInt64)), shape + "[2, 3, 1]");
  EXPECT_EQ(refused(torch::zeros({0, 3}, torch::kInt64)), shape + "[0, 3]");
  EXPECT_EQ(refused(torch::zeros({2, 0}, torch::kInt64)), shape + "[2, 0]");
  EXPECT_EQ(refused(torch::zeros({2, 3})), "X must be of an integer dtype, got Float");
  EXPECT_EQ(refused(torch::zeros({2, 3}, torch::kBool)), "X must be of an integer dtype, got Bool");
  EXPECT_EQ(refused(torch::full({2, 3}, V)), "a token must be in [0, 5), got 5");
  EXPECT_EQ(refused(torch::full({2, 3}, -100)), "a token must be in [0, 5), got -100");
  EXPECT_EQ(refused(torch::zeros({2, 3}, torch::device(torch::kMeta).dtype(torch::kInt64))),
            "X must be on cpu, got meta");
}

TEST_P(ArgumentsOfEachModel, LabelsAreOfTheShapeOfTheTokens) {
  EXPECT_EQ(refused_labels({}), "Y must have shape [2, 3], got no tensor");
  EXPECT_EQ(refused_labels(batch.Y.t()), "Y must have shape [2, 3], got [3, 2]");
  EXPECT_EQ(refused_labels(batch.Y.flatten()), "Y must have shape [2, 3], got [6]");
  EXPECT_EQ(refused_labels(batch.Y.to(torch::kFloat32)),
            "Y must be of an integer dtype, got Float");
  const std::string bound = "a label must be in [0, 5), or -100 to be left out, got ";
  EXPECT_EQ(refused_labels(torch::full({2, 3}, V)), bound + "5");
  EXPECT_EQ(refused_labels(torch::full({2, 3}, -1)), bound + "-1");
}

TEST_P(ArgumentsOfEachModel, StatesAreThoseOfTheBatch) {
  const auto state = net->begin_state(B);
  auto further = state;
  further.push_back(torch::zeros({B, 4}));
  const auto count = std::to_string(state.size());
  EXPECT_EQ(refused_state(further),
            "this model has " + count + " state tensors, got " + std::to_string(further.size()));
  if (state.empty()) {
    return;
  }
  EXPECT_EQ(refused_state({}), "this model has " + count + " state tensors, got 0");
  // One row would be taken for each of the batch.
  EXPECT_THAT(refused_state(net->begin_state(1)),
              ::testing::HasSubstr("a state must have shape ["));
  auto other = state;
  other.back() = torch::Tensor();
  EXPECT_THAT(refused_state(other), ::testing::EndsWith("got no tensor"));
  other.back() = state.back().to(torch::kFloat64);
  EXPECT_EQ(refused_state(other), "a state must be of Float, got Double");
  other.back() = torch::zeros(state.back().sizes(), torch::kMeta);
  EXPECT_EQ(refused_state(other), "a state must be on cpu, got meta");
}

TEST_P(ArgumentsOfEachModel, AnyIntegerDtypeIsTaken) {
  const auto expected = net->loss(batch, net->begin_state(B)).first;
  for (const auto type : {torch::kUInt8, torch::kInt8, torch::kInt16, torch::kInt32}) {
    const Batch other{batch.X.to(type), batch.Y.to(type)};
    EXPECT_TRUE(torch::equal(net->loss(other, net->begin_state(B)).first, expected));
    EXPECT_TRUE(torch::equal(net->forward(other.X, net->begin_state(B)).first,
                             net->forward(batch.X, net->begin_state(B)).first));
  }
}

TEST_P(ArgumentsOfEachModel, LabelsOfMinus100AreLeftOut) {
  batch.Y[0][1] = -100;
  batch.Y[1][0] = -100;
  const auto loss = net->loss(batch, net->begin_state(B)).first;
  const auto logits = net->forward(batch.X, net->begin_state(B)).first;
  const auto expected = torch::cross_entropy_loss(logits, batch.Y.t().reshape({-1}));
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-6);
  loss.backward();
  std::vector<torch::Tensor> gradients;
  for (const auto& [name, weight] : net->weights()) {
    gradients.push_back(weight.grad().clone());
    weight.mutable_grad().reset();
  }
  expected.backward();
  const auto weights = net->weights();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(torch::allclose(gradients[i], weights[i].tensor.grad(), 1e-5, 1e-7))
        << weights[i].name;
  }
}

TEST_P(ArgumentsOfEachModel, WithoutAnyLabelTheLossIsNoNumberAndTheGradientsAreZero) {
  batch.Y.fill_(-100);
  const auto loss = net->loss(batch, net->begin_state(B)).first;
  EXPECT_TRUE(std::isnan(loss.item<double>()));
  loss.backward();
  for (const auto& [name, weight] : net->weights()) {
    EXPECT_EQ(weight.grad().abs().sum().item<double>(), 0) << name;
  }
}

TEST_P(ArgumentsOfEachModel, ThereIsAtLeastOneSequence) {
  for (const int64_t count : {0, -1}) {
    const auto message = "the batch size must be at least 1, got " + std::to_string(count);
    EXPECT_EQ(thrown<Error>([&] { net->begin_state(count); }), message);
    EXPECT_EQ(thrown<Error>([&] { net->make_decoder(count); }), message);
  }
}

TEST_P(ArgumentsOfEachModel, ADecoderTakesATokenBelowVOfEachSequence) {
  const auto decoder = net->make_decoder(2);
  const auto refused = [&](const std::vector<int64_t>& tokens) {
    return thrown<Error>([&] { decoder->step(tokens); });
  };
  EXPECT_EQ(refused({0, 1, 2}), "a step takes 2 tokens, got 3");
  EXPECT_EQ(refused({0}), "a step takes 2 tokens, got 1");
  EXPECT_EQ(refused({0, V}), "a token must be in [0, 5), got 5");
  EXPECT_EQ(refused({-1, 0}), "a token must be in [0, 5), got -1");
}

TEST_P(ArgumentsOfEachModel, ADoubleModelHasADoubleState) {
  for (const auto& weight : values(net->weights())) {
    weight.set_data(weight.to(torch::kFloat64));
  }
  const auto state = net->begin_state(B);
  for (const auto& s : state) {
    EXPECT_EQ(s.scalar_type(), torch::kFloat64);
  }
  EXPECT_EQ(net->loss(batch, state).first.scalar_type(), torch::kFloat64);
}

TEST_P(ArgumentsOfEachModel, TheVocabularysSizeIsKnown) {
  EXPECT_EQ(net->vocab_size(), V);
  EXPECT_EQ(net->config(), resolved(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Models, ArgumentsOfEachModel, ::testing::ValuesIn(all_models(4)),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll

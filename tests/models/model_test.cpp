#include "unroll/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Model, TensorsAreFoundByName) {
  const NamedTensors tensors{{"a", torch::zeros(1)}, {"b", torch::ones(1)}};
  EXPECT_EQ(tensor_named(tensors, "b").item<double>(), 1);
  EXPECT_THAT(thrown<Error>([&] { tensor_named(tensors, "c"); }), HasSubstr("c"));
  ASSERT_EQ(values(tensors).size(), 2U);
  EXPECT_TRUE(values(tensors)[1].is_alias_of(tensors[1].tensor));
}

TEST(Model, DetachKeepsValuesAndDropsHistory) {
  const auto weight = torch::ones({2}, torch::requires_grad());
  const State state{weight * 3, weight * 4};
  const auto cut = detach(state);
  ASSERT_EQ(cut.size(), 2U);
  EXPECT_FALSE(cut[1].requires_grad());
  EXPECT_TRUE(torch::equal(cut[1], state[1]));
}

class SequenceModelOfEachKind : public ::testing::TestWithParam<TestModel> {
 protected:
  void SetUp() override {
    at::manual_seed(0);
    net = make_model(GetParam(), 5, torch::kCPU);
    batch = {torch::randint(5, {2, 3}, torch::kInt64), torch::randint(5, {2, 3}, torch::kInt64)};
  }

  std::unique_ptr<SequenceModel> net;
  Batch batch;
};

TEST_P(SequenceModelOfEachKind, LossIsTheMeanCrossEntropyOfTheTokensThatFollow) {
  const auto [loss, state] = net->loss(batch, net->begin_state(2));
  const auto log_probabilities =
      torch::log_softmax(net->forward(batch.X, net->begin_state(2)).first, 1);
  double sum = 0;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t t = 0; t < 3; ++t) {
      // Logits run time step by time step: row t*B + b belongs to X[b][t].
      sum -= log_probabilities[t * 2 + b][batch.Y[b][t].item<int64_t>()].item<double>();
    }
  }
  EXPECT_NEAR(loss.item<double>(), sum / 6, 1e-5);
  EXPECT_TRUE(loss.requires_grad());
  EXPECT_EQ(state.size(), net->begin_state(2).size());
}

TEST_P(SequenceModelOfEachKind, WeightsHaveStableNamesAndAreTheLiveTensors) {
  const auto weights = net->weights();
  for (const auto& [name, tensor] : weights) {
    EXPECT_TRUE(tensor.requires_grad() && tensor.is_leaf()) << name;
    EXPECT_TRUE(tensor.is_alias_of(tensor_named(net->weights(), name))) << name;
  }
  const auto before = net->forward(batch.X, net->begin_state(2)).first;
  weights.back().tensor.data().add_(1);
  EXPECT_FALSE(torch::equal(net->forward(batch.X, net->begin_state(2)).first, before));
}

TEST_P(SequenceModelOfEachKind, LoadedWeightsComputeTheSame) {
  const auto other = make_model(GetParam(), 5, torch::kCPU);
  load_weights(*other, net->weights());
  EXPECT_TRUE(torch::equal(other->forward(batch.X, other->begin_state(2)).first,
                           net->forward(batch.X, net->begin_state(2)).first));
  EXPECT_FALSE(other->weights()[0].tensor.is_alias_of(net->weights()[0].tensor));
}

TEST_P(SequenceModelOfEachKind, WeightsThatDoNotFitAreRefusedAndChangeNothing) {
  const auto other = make_model(GetParam(), 5, torch::kCPU);
  const auto before = other->weights().front().tensor.clone();
  const auto last = net->weights().back().name;

  auto missing = net->weights();
  missing.pop_back();
  EXPECT_THAT(thrown<Error>([&] { load_weights(*other, missing); }), HasSubstr(last));
  auto further = net->weights();
  further.push_back({"W_further", torch::zeros(1)});
  EXPECT_THAT(thrown<Error>([&] { load_weights(*other, further); }), HasSubstr("W_further"));
  auto shape = net->weights();
  shape.back().tensor = torch::zeros({77});
  EXPECT_THAT(thrown<Error>([&] { load_weights(*other, shape); }),
              AllOf(HasSubstr(last), HasSubstr("77")));
  EXPECT_TRUE(torch::equal(other->weights().front().tensor, before));
}

INSTANTIATE_TEST_SUITE_P(Models, SequenceModelOfEachKind, ::testing::ValuesIn(all_models(4)),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll
